"""The dashboard: an agency at a glance, each figure a way into the list behind it."""

from datetime import date, timedelta
from typing import Annotated
from uuid import uuid4
from zoneinfo import ZoneInfo

from fastapi import Query, Request
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand
from console.notices import done
from console.web import PagesDep, router, sees
from domain.accounts import OPEN_STATUSES
from domain.figures import FROM_DAY, LAST_DAY, AgingBucket, Period
from domain.payments import TAKEN
from services.access import Right
from services.analytics import FiguresNotReady
from services.analytics_views import Dashboard
from services.sessions import Visitor

pages = router()
SeesFigures = Annotated[Visitor, sees(Right.READ_ANALYTICS)]
CountsFigures = Annotated[Visitor, sees(Right.REFRESH_ANALYTICS)]
OPEN = "&".join(f"status={status}" for status in sorted(OPEN_STATUSES))
"""The filter of lists for accounts that are neither settled nor closed."""
CAME_IN = "&".join(f"status={status}" for status in sorted(TAKEN))
"""The filter of payments for those that are counted: money that came in, whatever became of it since."""


@pages.get("/dashboard")
async def dashboard(
    request: Request,
    visitor: SeesFigures,
    services: ServicesDep,
    templates: PagesDep,
    period: Annotated[Period, Query()] = Period.DAY,
) -> Response:
    """Figures as they were counted, with the word since when they hold."""
    who = visitor.who
    try:
        figures = await services.analytics.dashboard(who)
        trend = await services.analytics.payments(who, period)
        board = await services.analytics.collectors(who)
    except FiguresNotReady:
        return templates.page(request, "dashboard_counting.html")
    return templates.page(
        request,
        "dashboard.html",
        figures=figures,
        trend=trend,
        board=board,
        aging=_aging_links(figures, visitor),
        open_filter=OPEN,
        taken_filter=CAME_IN,
        periods=list(Period),
        may_refresh=who.may(Right.REFRESH_ANALYTICS),
        key=uuid4().hex,
    )


@pages.post("/dashboard/refresh")
async def refresh(visitor: CountsFigures, command: FormCommand, services: ServicesDep) -> Response:
    """Have the figures counted anew."""
    answer = await services.analytics.refresh(visitor.who, command)
    under_way = answer.body["refreshing"]
    return done("/dashboard", "The figures are being counted." if under_way else "The figures are new.")


def _aging_links(figures: Dashboard, visitor: Visitor) -> dict[AgingBucket, str]:
    """The filter of the accounts behind each bucket; empty where none tells, for want of a due date."""
    today = figures.as_of.astimezone(ZoneInfo(visitor.time_zone)).date()
    return {one.bucket: _due(one.bucket, today) for one in figures.aging}


def _due(bucket: AgingBucket, today: date) -> str:
    if bucket is AgingBucket.UNKNOWN:
        return ""
    if bucket is AgingBucket.NOT_DUE:
        return f"due_after={today + timedelta(days=1)}"
    latest = f"due_before={today - timedelta(days=FROM_DAY[bucket])}"
    if bucket not in LAST_DAY:
        return latest
    return f"due_after={today - timedelta(days=LAST_DAY[bucket])}&{latest}"
