"""The HTTP application: routers, the edge around them, and the lifespan of what they need."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import RedirectResponse

from api import docs, problems
from api.composition import Services, open_services
from api.edge import BodyLimit, Edge
from api.operating_metrics import OperatingMetrics
from api.parameters import refuse_unknown
from api.reconciliation_metrics import ReconciliationMetrics
from api.routers import (
    account_commands,
    accounts,
    agencies,
    analytics,
    assignments,
    auth,
    breaks,
    collectors,
    compliance,
    contacts,
    creditors,
    debtors,
    exports,
    fairness,
    health,
    imports,
    partner_reconciliations,
    partner_statements,
    partner_syncs,
    partners,
    payment_inbox,
    payment_reconciliations,
    payments,
    plans,
    schedules,
    score_history,
    scoring,
    sources,
    stripe_credentials,
    thanks,
    users,
    webhooks,
    worklist,
)
from runtime.metrics import HttpMetrics
from runtime.side_server import serving_beside
from runtime.tracing import UNRECORDED, telemetry
from services.reconciliation_figures import ReconciliationFigures

if TYPE_CHECKING:
    from runtime.settings import Settings

PREFIX = "/api/v1"
BODY_LIMIT_BYTES = 1 << 20
UPLOAD_PATH = f"{PREFIX}/imports"
MULTIPART_OVERHEAD_BYTES = 64 << 10

_ROUTERS = (
    auth,
    accounts,
    account_commands,
    score_history,
    contacts,
    compliance,
    debtors,
    worklist,
    webhooks,
    payment_inbox,
    payment_reconciliations,
    payments,
    plans,
    imports,
    exports,
    fairness,
    analytics,
    scoring,
    assignments,
    schedules,
    agencies,
    users,
    collectors,
    creditors,
    sources,
    stripe_credentials,
    partner_reconciliations,
    breaks,
    partners,
    partner_syncs,
    partner_statements,
)
_root = APIRouter(include_in_schema=False)


@_root.get("/")
async def start_page() -> RedirectResponse:
    """Lead people to the documentation."""
    return RedirectResponse(docs.PATH)


def create_app(
    settings: "Settings",
    *,
    services: Services | None = None,
    start_page: bool = True,
    uploads: Sequence[str] = (),
) -> FastAPI:
    """The application; it opens its services at start-up, unless they are given.

    ``start_page``: whether ``/`` leads to the documentation; not where it has pages of its own.
    ``uploads``: further paths that take files.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if services is not None:
            yield
            return
        async with open_services(settings) as opened, aclosing(app.state.operating_metrics):
            app.state.services = opened
            if settings.api_metrics_port is None:
                yield
                return
            async with serving_beside(_metrics_app(app), settings.host, settings.api_metrics_port):
                yield

    app = FastAPI(
        title="Recoup",
        version="1",
        description="Debt recovery on durable workflows. Log in at `POST /api/v1/auth/token`.",
        openapi_url=f"{PREFIX}/schema",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=telemetry(settings),
    )
    app.state.services = services
    app.state.metrics = HttpMetrics()

    async def figures() -> ReconciliationFigures:
        opened: Services = app.state.services
        return await opened.reconciliation_figures()

    app.state.reconciliation_metrics = ReconciliationMetrics(app.state.metrics.registry, figures)
    app.state.operating_metrics = OperatingMetrics(
        app.state.metrics.registry, lambda: app.state.services.operating
    )
    problems.install(app)
    docs.install(app)
    if start_page:
        app.include_router(_root)
    app.include_router(health.router)
    if settings.api_metrics_port is None:
        app.include_router(health.figures)
    app.include_router(thanks.router)
    checks = [Depends(refuse_unknown)]
    for module in _ROUTERS:
        app.include_router(module.router, prefix=PREFIX, dependencies=checks)
    # The last added is the outermost.
    upload = settings.upload_max_bytes + MULTIPART_OVERHEAD_BYTES
    exceptions = dict.fromkeys((UPLOAD_PATH, *uploads), upload)
    app.add_middleware(BodyLimit, limit=BODY_LIMIT_BYTES, exceptions=exceptions, programs=PREFIX)
    app.add_middleware(Edge, metrics=app.state.metrics)
    return app


def _metrics_app(app: FastAPI) -> FastAPI:
    """The metrics of ``app`` by themselves: on a port of their own they are nobody's outside."""
    beside = FastAPI(openapi_url=None, telemetry=UNRECORDED)
    beside.state = app.state
    beside.include_router(health.figures)
    return beside
