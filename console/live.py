"""Progress that shows itself: server-sent events whose data is HTML."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.events import PING_S, RECONNECT_MS, JobT
from services.progress import Progress, event_of

Render = Callable[[JobT], str]
"""The HTML of a job as it stands, or nothing where there is none to show."""


def live(
    progress: Progress[JobT],
    agency_id: UUID,
    job_id: UUID,
    *,
    render: Render[JobT],
    after: int,
    now: JobT | None = None,
) -> Response:
    """An event ``progress`` for each change behind ``after``, and ``ended`` for the last.

    ``now``: the job as it stands. Where it has ended, and the page knows how, there is nothing to say (204,
    which tells a browser to stop asking).
    """
    if now is not None and event_of(now).is_last and event_of(now).id <= after:
        return Response(status_code=204)
    return EventSourceResponse(_events(progress, agency_id, job_id, render, after), ping=PING_S)


async def _events(
    progress: Progress[JobT], agency_id: UUID, job_id: UUID, render: Render[JobT], after: int
) -> AsyncIterator[ServerSentEvent]:
    async for event in progress.follow(agency_id, job_id, after=after):
        yield ServerSentEvent(
            render(event.job),
            id=str(event.id),
            event="ended" if event.is_last else "progress",
            retry=RECONNECT_MS,
        )
