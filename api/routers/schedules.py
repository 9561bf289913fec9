"""Schedules: what an agency has done regularly. Their ids contain slashes."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSchedules, ReadsSchedules, ServicesDep, respond
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.schedules import ScheduleList
from services.fields import Nothing
from services.schedules import PauseForm, ScheduleView

router = APIRouter(prefix="/schedules", tags=["schedules"])


@router.get("", responses=READ_ERRORS)
async def list_schedules(who: ReadsSchedules, services: ServicesDep) -> ScheduleList:
    """The schedules of the agency, when they run next and how they ran last."""
    return ScheduleList(results=await services.schedules.list(who))


@router.post(
    "/{schedule_id:path}/trigger", status_code=202, response_model=ScheduleView, responses=WRITE_ERRORS
)
async def trigger(
    schedule_id: str,
    who: ManagesSchedules,
    command: Command,
    services: ServicesDep,
    body: Nothing | None = None,
) -> JSONResponse:
    """Start a run now; 409 while one is going."""
    return respond(await services.schedules.trigger(who, command, schedule_id))


@router.post("/{schedule_id:path}/pause", response_model=ScheduleView, responses=WRITE_ERRORS)
async def pause(
    schedule_id: str,
    who: ManagesSchedules,
    command: Command,
    services: ServicesDep,
    body: PauseForm | None = None,
) -> JSONResponse:
    """Start no more runs until it is resumed."""
    return respond(await services.schedules.pause(who, command, schedule_id, body or PauseForm()))


@router.post("/{schedule_id:path}/resume", response_model=ScheduleView, responses=WRITE_ERRORS)
async def resume(
    schedule_id: str,
    who: ManagesSchedules,
    command: Command,
    services: ServicesDep,
    body: PauseForm | None = None,
) -> JSONResponse:
    """Start runs again."""
    return respond(await services.schedules.resume(who, command, schedule_id, body or PauseForm()))
