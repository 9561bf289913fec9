"""Progress of a job as server-sent events."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Header
from fastapi.responses import Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.progress import Job, Progress, event_of

RECONNECT_MS = 2000
PING_S = 15
MAX_EVENT_ID = (1 << 63) - 1

JobT = TypeVar("JobT", bound=Job)

LastEventId = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=MAX_EVENT_ID, description="go on behind this event")
]


def event_stream(
    progress: Progress[JobT],
    agency_id: UUID,
    job_id: UUID,
    job: JobT,
    *,
    view: Callable[[JobT], BaseModel],
    after: int,
) -> Response:
    """An event for each change behind ``after``, the last named for the job's end.

    ``job`` is as it stands now: once it has ended and the listener knows how, there is nothing to say
    (204, which tells a browser to stop asking).
    """
    now = event_of(job)
    if now.is_last and now.id <= after:
        return Response(status_code=204)
    return EventSourceResponse(_events(progress, agency_id, job_id, view, after), ping=PING_S)


async def _events(
    progress: Progress[JobT], agency_id: UUID, job_id: UUID, view: Callable[[JobT], BaseModel], after: int
) -> AsyncIterator[ServerSentEvent]:
    async for event in progress.follow(agency_id, job_id, after=after):
        yield ServerSentEvent(
            view(event.job).model_dump_json(),
            id=str(event.id),
            event=event.job.status if event.is_last else "progress",
            retry=RECONNECT_MS,
        )
