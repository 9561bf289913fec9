# One small image for every process: recoup api | worker | migrate | schedules | rollout.
# Needs nothing of BuildKit, so that any engine builds it; the base can be replaced by a mirror's.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    PATH=/opt/build/bin:$PATH
WORKDIR /src
COPY requirements/bootstrap.txt requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv /opt/build && pip install --require-hashes -r requirements/bootstrap.txt
RUN uv venv --python python3 /opt/recoup \
    && uv pip sync --require-hashes --compile-bytecode --python /opt/recoup/bin/python requirements/runtime.txt \
    && uv pip install --require-hashes --python /opt/build/bin/python -r requirements/build.txt

# The console's front-end packages, by the locked list; only the few files that pages load leave this stage.
FROM build AS assets
WORKDIR /src/console
COPY console/package.json console/package-lock.json console/.npmrc ./
RUN npm ci --omit=dev
WORKDIR /src
COPY console console
RUN python -m console.build

FROM build AS wheel
COPY . .
COPY --from=assets /src/console/dist console/dist
RUN uv build --wheel --no-build-isolation --python /opt/build/bin/python --out-dir /tmp/wheel \
    && uv pip install --no-deps --compile-bytecode --python /opt/recoup/bin/python /tmp/wheel/*.whl \
    # What places telephone numbers belong to, in words: 40 MB that nothing here reads. Their time zones stay.
    && rm -r /opt/recoup/lib/python3.*/site-packages/phonenumbers/geodata

FROM ${PYTHON_IMAGE}
ARG BUILD_ID=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="recoup" \
      org.opencontainers.image.description="Debt recovery on durable workflows" \
      org.opencontainers.image.version="${BUILD_ID}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/recoup/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RECOUP_ENV=production \
    RECOUP_HOST=0.0.0.0 \
    RECOUP_LOG_JSON=true \
    RECOUP_BUILD_ID=${BUILD_ID}
COPY --from=wheel /opt/recoup /opt/recoup
# For a volume with files on one host; a cluster keeps them in object storage.
RUN groupadd --gid 10001 recoup \
    && useradd --uid 10001 --gid recoup --no-create-home --home-dir /tmp --shell /usr/sbin/nologin recoup \
    && install --directory --owner=recoup --group=recoup /var/lib/recoup
# Nothing is written but below /tmp (uploads on their way): run it with a read-only root file system.
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000 9464 9465
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["recoup", "health", "api"]
ENTRYPOINT ["recoup"]
CMD ["api"]
