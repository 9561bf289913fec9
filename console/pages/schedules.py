"""Schedules: what runs by itself, when next, how it ran last; started, paused and resumed by hand."""

from typing import Annotated
from uuid import uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand, filled
from console.notices import done
from console.web import PagesDep, router, sees
from services.access import Right
from services.schedules import PauseForm
from services.sessions import Visitor

pages = router()
ReadsSchedules = Annotated[Visitor, sees(Right.READ_SCHEDULES)]
ManagesSchedules = Annotated[Visitor, sees(Right.MANAGE_SCHEDULES)]


@pages.get("/schedules")
async def schedules(
    request: Request, visitor: ReadsSchedules, services: ServicesDep, templates: PagesDep
) -> Response:
    """The schedules of the agency and its partners."""
    found = await services.schedules.list(visitor.who)
    return templates.page(
        request,
        "schedules.html",
        schedules=found,
        going=any(schedule.running for schedule in found),
        may_manage=visitor.who.may(Right.MANAGE_SCHEDULES),
        key=uuid4().hex,
    )


@pages.post("/schedules/{schedule_id:path}/trigger")
async def trigger(
    schedule_id: str, visitor: ManagesSchedules, command: FormCommand, services: ServicesDep
) -> Response:
    """Start a run now."""
    answer = await services.schedules.trigger(visitor.who, command, schedule_id)
    return done("/schedules", f"Started: {answer.body['title']}")


@pages.post("/schedules/{schedule_id:path}/pause")
async def pause(
    request: Request,
    schedule_id: str,
    visitor: ManagesSchedules,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Start no more runs until it is resumed."""
    form = await filled(request, PauseForm)
    answer = await services.schedules.pause(visitor.who, command, schedule_id, form)
    return done("/schedules", f"Paused: {answer.body['title']}")


@pages.post("/schedules/{schedule_id:path}/resume")
async def resume(
    request: Request,
    schedule_id: str,
    visitor: ManagesSchedules,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Start runs again."""
    form = await filled(request, PauseForm)
    answer = await services.schedules.resume(visitor.who, command, schedule_id, form)
    return done("/schedules", f"Resumed: {answer.body['title']}")
