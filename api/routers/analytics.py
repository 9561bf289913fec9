"""Figures: the agency at a glance, its collectors, its money by period, its debts by age."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsAnalytics, ReadsOwnAnalytics, RefreshesAnalytics, ServicesDep, respond
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from domain.figures import Period
from services.analytics_views import AgingReport, Dashboard, Leaderboard, PaymentTrend, Refreshed
from services.fields import Day, Nothing

router = APIRouter(prefix="/analytics", tags=["analytics"])

From = Annotated[Day | None, Query(alias="from", description="the first day, in the agency's time zone")]
To = Annotated[Day | None, Query(description="the last day, counted; today unless said")]


@router.get("/dashboard", responses=READ_ERRORS)
async def get_dashboard(who: ReadsAnalytics, services: ServicesDep) -> Dashboard:
    """The agency at a glance: accounts by status, risk and age, money collected net of what went back,
    promises kept, right-party contacts, open breaks.

    `as_of` says since when this holds; figures are counted again behind the scenes.
    """
    return await services.analytics.dashboard(who)


@router.get("/collectors", responses=READ_ERRORS)
async def get_collectors(
    who: ReadsOwnAnalytics, services: ServicesDep, since: From = None, to: To = None
) -> Leaderboard:
    """Collectors, who has collected most first: thirty days to today unless said, at most 366.

    A collector sees only their own figures. The last row is of accounts that nobody holds.
    """
    return await services.analytics.collectors(who, since, to)


@router.get("/payments/trends", responses=READ_ERRORS)
async def get_payment_trend(
    who: ReadsAnalytics,
    services: ServicesDep,
    period: Period = Period.DAY,
    since: From = None,
    to: To = None,
) -> PaymentTrend:
    """Money by day, week (from Monday) or month, at most 400 of them: payments when they came in, refunds and
    chargebacks when they went back. Thirty days, twelve weeks or a year to today unless said.
    """
    return await services.analytics.payments(who, period, since, to)


@router.get("/aging-report", responses=READ_ERRORS)
async def get_aging_report(who: ReadsAnalytics, services: ServicesDep) -> AgingReport:
    """Open accounts by how many days they are past due: 0–30, 31–60, 61–90, more than 90, not due yet, and
    those of which neither due date nor charge-off is known.
    """
    return await services.analytics.aging(who)


@router.post("/refresh", status_code=202, response_model=Refreshed, responses=WRITE_ERRORS)
async def refresh(
    who: RefreshesAnalytics, command: Command, services: ServicesDep, body: Nothing | None = None
) -> JSONResponse:
    """Have the figures counted anew. Of an agency with some thousand accounts that is done by then; of a
    larger one it takes seconds, and is not done more often than they allow.
    """
    return respond(await services.analytics.refresh(who, command))
