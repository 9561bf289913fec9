"""Automatic assignment: the accounts that nobody works, spread over the collectors."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.events import LastEventId
from api.pagination import Paging
from console.forms import FormCommand
from console.lists import page_of
from console.live import live
from console.notices import done
from console.web import PagesDep, router, sees
from services.access import Right
from services.progress import ENDS
from services.sessions import Visitor

if TYPE_CHECKING:
    from services.assignment import AssignmentRunView

pages = router()
ReadsAssignments = Annotated[Visitor, sees(Right.READ_ASSIGNMENTS)]
RunsAssignments = Annotated[Visitor, sees(Right.RUN_ASSIGNMENTS)]


@pages.get("/settings/assignments")
async def assignments(
    request: Request,
    visitor: ReadsAssignments,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Runs of automatic assignment, newest first."""
    runs = await services.assignments.page(visitor.who, paging.position(datetime, UUID), paging.limit)
    shown = page_of(paging, runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)
    return templates.page(
        request,
        "settings_assignments.html",
        list=shown,
        going=[run for run in shown.results if run.status not in ENDS],
        may_run=visitor.who.may(Right.RUN_ASSIGNMENTS),
        key=uuid4().hex,
    )


@pages.get("/settings/assignments/preview")
async def preview(
    request: Request, visitor: RunsAssignments, services: ServicesDep, templates: PagesDep
) -> Response:
    """What a run would come to now; nothing changes."""
    planned = await services.assignments.preview(visitor.who)
    return templates.page(request, "settings_assignment_preview.html", planned=planned, key=uuid4().hex)


@pages.post("/settings/assignments")
async def assign(visitor: RunsAssignments, command: FormCommand, services: ServicesDep) -> Response:
    """Assign the accounts that nobody works, the best first, up to each collector's limit."""
    await services.assignments.start(visitor.who, command)
    return done("/settings/assignments", "The accounts that nobody works are being assigned")


@pages.get("/settings/assignments/{run_id}/live")
async def follow(
    run_id: UUID,
    visitor: ReadsAssignments,
    services: ServicesDep,
    templates: PagesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """A run's progress, with every change until it ends."""
    service, now = services.assignments, await services.assignments.get(visitor.who, run_id)

    def render(seen: "AssignmentRunView") -> str:
        return templates.fragment("_assignment_progress.html", visitor, run=seen, live=True)

    return live(
        service.events,
        visitor,
        run_id,
        render=render,
        after=last_event_id,
        watch=services.sessions.watch,
        now=now,
    )
