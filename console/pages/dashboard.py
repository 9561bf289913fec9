"""The dashboard: an agency at a glance, each figure a way into the list behind it."""

from typing import Annotated
from uuid import uuid4

from fastapi import Query, Request
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand
from console.notices import done
from console.web import PagesDep, router, sees
from domain.accounts import OPEN_STATUSES
from domain.figures import Period
from domain.payments import TAKEN
from services.access import Right
from services.analytics import FiguresNotReady
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
