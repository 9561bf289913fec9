"""The codec endpoint: what Temporal keeps encrypted, shown in its Web UI and command line to who may see it.

Temporal's protocol of remote codecs: ``POST /codec/decode`` and ``/codec/encode`` with a JSON ``Payloads``,
and the namespace in the header ``X-Namespace``. A process of its own beside the API.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from google.protobuf import json_format
from prometheus_client import Counter
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from temporalio.api.common.v1 import Payload, Payloads

from api import problems
from api.composition import authentication_of, login_guard, open_database, sessions_of
from api.deps import client_ip
from api.edge import BodyLimit, Edge
from domain.errors import Forbidden, Invalid, Malformed, Unauthenticated, Unavailable
from runtime import metrics
from runtime.metrics import HttpMetrics
from runtime.side_server import serving_beside
from runtime.temporal import payload_codec
from runtime.tracing import UNRECORDED, telemetry
from services.access import Principal, Right, require
from services.passwords import Passwords
from services.sessions import COOKIE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.session import Database
    from runtime.payload_codec import EncryptingCodec
    from runtime.settings import Settings
    from services.authentication import AuthenticationService
    from services.sessions import SessionService

PREFIX = "/codec"
BODY_LIMIT_BYTES = 8 << 20
"""A payload has at most 2 MiB at Temporal, and a third more as base64; several come at once."""
MOST_PAYLOADS = 1000
"""How many come at once: a fifth of a second of work, in which nobody else is answered."""
MOST_MARKS = 24 * MOST_PAYLOADS
"""How many of JSON's marks there may be in them: ours have nine for each payload."""
READY_PATIENCE_S = 2.0

_log = structlog.stdlib.get_logger("codec")
_bearer = HTTPBearer(auto_error=False, description="the `access` token of `POST /api/v1/auth/token`")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the endpoint works with. ``origins``: of the Web UIs that may ask for a person logged in here."""

    codec: "EncryptingCodec"
    namespace: str
    origins: frozenset[str]
    authentication: "AuthenticationService"
    sessions: "SessionService"
    payloads: Counter


async def _desk(request: Request) -> Desk:
    return cast("Desk", request.app.state.desk)


DeskDep = Annotated[Desk, Depends(_desk)]


async def _principal(
    request: Request,
    desk: DeskDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Who asks: by an access token, else by the console's session, which counts for a known Web UI only."""
    ip = client_ip(request)
    if credentials is not None:
        return await desk.authentication.principal(credentials.credentials, ip=ip)
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise Unauthenticated(
            "log in to the console in this browser, or send an access token as a Bearer token"
        )
    if request.headers.get("Origin") not in desk.origins:
        raise Forbidden("the console's session counts for the Web UIs of RECOUP_CODEC_ORIGINS only")
    return (await desk.sessions.visitor(cookie, ip=ip)).who


Asking = Annotated[Principal, Depends(_principal)]
Namespace = Annotated[str | None, Header(alias="X-Namespace")]

_router = APIRouter(prefix=PREFIX)


@_router.post("/decode")
async def decode(request: Request, desk: DeskDep, who: Asking, x_namespace: Namespace = None) -> Response:
    """The payloads in the clear; those that are not encrypted as they came."""
    return await _convert(request, desk, who, x_namespace, Right.DECODE_PAYLOADS, desk.codec.decode)


@_router.post("/encode")
async def encode(request: Request, desk: DeskDep, who: Asking, x_namespace: Namespace = None) -> Response:
    """The payloads encrypted with the first key."""
    return await _convert(request, desk, who, x_namespace, Right.ENCODE_PAYLOADS, desk.codec.encode)


async def _convert(
    request: Request,
    desk: Desk,
    who: Principal,
    namespace: str | None,
    right: Right,
    work: "Callable[[Sequence[Payload]], Awaitable[list[Payload]]]",
) -> Response:
    require(who, right)
    if namespace != desk.namespace:
        raise Forbidden(f"this endpoint serves the namespace “{desk.namespace}”, named in X-Namespace, only")
    raw = await request.body()
    given = _payloads(raw).payloads
    answer = Payloads(payloads=await work(given))
    desk.payloads.labels(right.value).inc(len(given))
    # Whoever asks why somebody has read what: who and how much, never what.
    _log.info(
        "payloads shown" if right is Right.DECODE_PAYLOADS else "payloads encrypted",
        user_id=str(who.user_id),
        namespace=desk.namespace,
        payloads=len(given),
        bytes=len(raw),
    )
    return Response(json_format.MessageToJson(answer, indent=None), media_type="application/json")


def _payloads(raw: bytes) -> Payloads:
    # Counted before they are made, which takes seconds for a body full of tiny ones.
    if sum(raw.count(mark) for mark in b"{[,:") > MOST_MARKS:
        raise _too_many()
    try:
        found = json_format.Parse(raw, Payloads(), max_recursion_depth=8)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        raise Malformed(
            'the body is no JSON of payloads: {"payloads": [{"metadata": …, "data": …}]}'
        ) from None
    if len(found.payloads) > MOST_PAYLOADS:
        raise _too_many()
    return found


def _too_many() -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"at most {MOST_PAYLOADS} payloads are converted at once; send them in several requests",
    )


_health = APIRouter(include_in_schema=False)
_figures = APIRouter(include_in_schema=False)


@_health.get("/health/live")
async def live() -> dict[str, str]:
    """200 while this process can answer at all."""
    return {"status": "live"}


@_health.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """200 once the endpoint can tell who asks, which takes the database."""
    there = await _answers(request.app.state.database)
    return JSONResponse({"ready": there}, status_code=200 if there else 503)


async def _answers(database: "Database") -> bool:
    try:
        async with asyncio.timeout(READY_PATIENCE_S), database.platform() as tx:
            await tx.revision()
    except (Unavailable, TimeoutError):
        return False
    return True


@_figures.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Prometheus metrics of this process."""
    return Response(request.app.state.metrics.render(), media_type=metrics.CONTENT_TYPE)


def create_codec_app(settings: "Settings") -> FastAPI:
    """The application; it opens its database at start-up.

    ``Invalid`` without payload keys, or for origins that are none.
    """
    codec = payload_codec(settings)
    if codec is None:
        raise Invalid("RECOUP_PAYLOAD_KEYS is empty: nothing is encrypted, so there is nothing to decode")
    origins = allowed_origins(settings)
    http = HttpMetrics()
    counted = Counter(
        "recoup_codec_payloads",
        "payloads that the codec endpoint converted",
        ("right",),
        registry=http.registry,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(settings, "recoup-codec") as database:
            guard = login_guard(settings, database)
            authentication = authentication_of(settings, database, Passwords(), guard)
            sessions = sessions_of(settings, database, authentication)
            app.state.database = database
            app.state.desk = Desk(
                codec, settings.temporal_namespace, frozenset(origins), authentication, sessions, counted
            )
            if settings.codec_metrics_port is None:
                yield
                return
            async with serving_beside(_metrics_app(app), settings.host, settings.codec_metrics_port):
                yield

    app = FastAPI(
        title="Recoup codec",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=telemetry(settings),
    )
    app.state.metrics = http
    problems.install(app)
    app.include_router(_router)
    app.include_router(_health)
    if settings.codec_metrics_port is None:
        app.include_router(_figures)
    # The last added is the outermost.
    app.add_middleware(BodyLimit, limit=BODY_LIMIT_BYTES, exceptions={})
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type", "X-Namespace"],
        allow_credentials=True,
    )
    app.add_middleware(Edge, metrics=http)
    return app


def allowed_origins(settings: "Settings") -> list[str]:
    """The origins of the Web UIs, such as ``https://temporal.example.com``. ``Invalid`` for what is none."""
    given = settings.codec_origins or settings.temporal_ui_url
    found = [_origin(each.strip(), exact=bool(settings.codec_origins)) for each in given.split(",")]
    return [origin for origin in found if origin]


def _origin(address: str, *, exact: bool) -> str:
    try:
        parts = urlsplit(address)
        # Asking for the port is what checks it.
        names_a_server = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        raise _no_origin(address) from None
    origin = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in {"http", "https"} or not names_a_server or (exact and origin != address):
        raise _no_origin(address)
    return origin


def _no_origin(address: str) -> Invalid:
    return Invalid(
        f"RECOUP_CODEC_ORIGINS: “{address}” is no origin; write it as https://temporal.example.com",
        field="codec_origins",
    )


def _metrics_app(app: FastAPI) -> FastAPI:
    beside = FastAPI(openapi_url=None, telemetry=UNRECORDED)
    beside.state = app.state
    beside.include_router(_figures)
    return beside
