"""Health and metrics: for load balancers, orchestrators and Prometheus."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.deps import ServicesDep
from runtime import metrics
from services.health import Readiness

router = APIRouter(tags=["operations"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """200 while this process can answer at all."""
    return {"status": "live"}


@router.get("/health/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def ready(services: ServicesDep) -> JSONResponse:
    """200 when everything that serving and working needs is there, else 503 saying what is missing."""
    readiness = await services.health.ready()
    return JSONResponse(readiness.model_dump(mode="json"), status_code=200 if readiness.ready else 503)


figures = APIRouter(include_in_schema=False)
"""Where metrics have no port of their own: else they are nobody's outside."""


@figures.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Prometheus metrics of this process, and of all agencies together: what waits, what differs."""
    state = request.app.state
    await asyncio.gather(state.reconciliation_metrics.refresh(), state.operating_metrics.refresh())
    return Response(request.app.state.metrics.render(), media_type=metrics.CONTENT_TYPE)
