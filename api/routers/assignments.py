"""Automatic assignment: the accounts that nobody works are spread over the agency's collectors."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse

from api.deps import Command, ReadsAssignments, RunsAssignments, ServicesDep, respond
from api.events import ListenerDep
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.assignment import AssignmentPreview, AssignmentRunView
from services.fields import Nothing

router = APIRouter(prefix="/assignments", tags=["assignments"])

Preview = Annotated[bool, Query(description="only say what a run would come to now (200); nothing changes")]


@router.post(
    "",
    status_code=202,
    response_model=AssignmentRunView,
    responses={**WRITE_ERRORS, 200: {"model": AssignmentPreview}},
)
async def assign(
    who: RunsAssignments,
    command: Command,
    services: ServicesDep,
    preview: Preview = False,
    body: Nothing | None = None,
) -> Response:
    """Assign the unassigned accounts that can be worked, the best first, to the active collectors with the
    least balance, up to each one's `max_accounts`; 409 with the `run_id` while that is going on."""
    if preview:
        planned = await services.assignments.preview(who)
        return JSONResponse(planned.model_dump(mode="json"))
    return respond(await services.assignments.start(who, command))


@router.get("", responses=READ_ERRORS)
async def list_runs(who: ReadsAssignments, paging: Paging, services: ServicesDep) -> Page[AssignmentRunView]:
    """Runs of automatic assignment, newest first."""
    runs = await services.assignments.page(who, paging.position(datetime, UUID), paging.limit)
    return paging.page(runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)


@router.get("/{run_id}", responses=READ_ERRORS)
async def get_run(run_id: UUID, who: ReadsAssignments, services: ServicesDep) -> AssignmentRunView:
    """One run: how far it is, what each collector was given."""
    return await services.assignments.get(who, run_id)


@router.get(
    "/{run_id}/events",
    response_class=EventSourceResponse,
    responses={**READ_ERRORS, 204: {"description": "the run has ended and you know how"}},
)
async def follow_run(
    run_id: UUID, who: ReadsAssignments, services: ServicesDep, listener: ListenerDep
) -> Response:
    """Progress as server-sent events, one for each change, ending with ``completed`` or ``failed``."""
    runs, run = services.assignments, await services.assignments.get(who, run_id)
    return listener.stream(runs.events, who.tenant.agency_id, run_id, run, view=lambda seen: seen)
