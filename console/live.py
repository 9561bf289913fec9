"""Progress that shows itself: server-sent events whose data is HTML."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.events import PING_S, RECONNECT_MS, JobT
from services.progress import Progress, ProgressEvent, event_of

Render = Callable[[JobT], str]
"""The HTML of a job as it stands, or nothing where there is none to show."""

_rendered: WeakKeyDictionary[Progress[Any], dict[UUID, tuple[int, str]]] = WeakKeyDictionary()
"""Of each job that is followed the event that was rendered last: two hundred who look on see one page."""


def live(
    progress: Progress[JobT],
    agency_id: UUID,
    job_id: UUID,
    *,
    render: Render[JobT],
    after: int,
    now: JobT | None = None,
    own: Render[JobT] | None = None,
) -> Response:
    """An event ``progress`` for each change behind ``after``, and ``ended`` for the last.

    ``now``: the job as it stands. Where it has ended, and the page knows how, there is nothing to say (204,
    which tells a browser to stop asking). ``render`` gives the same to everybody of the agency, ``own`` what
    this listener alone is told behind it.
    """
    if now is not None and event_of(now).is_last and event_of(now).id <= after:
        return Response(status_code=204)
    return EventSourceResponse(_events(progress, agency_id, job_id, render, after, own), ping=PING_S)


async def _events(
    progress: Progress[JobT],
    agency_id: UUID,
    job_id: UUID,
    render: Render[JobT],
    after: int,
    own: Render[JobT] | None,
) -> AsyncIterator[ServerSentEvent]:
    async for event in progress.follow(agency_id, job_id, after=after):
        yield ServerSentEvent(
            _shared(progress, job_id, event, render) + (own(event.job) if own else ""),
            id=str(event.id),
            event="ended" if event.is_last else "progress",
            retry=RECONNECT_MS,
        )


def _shared(progress: Progress[JobT], job_id: UUID, event: ProgressEvent[JobT], render: Render[JobT]) -> str:
    """The HTML of an event, rendered once for all; what has ended is rendered for the few who still ask."""
    of_jobs = _rendered.setdefault(progress, {})
    if event.is_last:
        of_jobs.pop(job_id, None)
        return render(event.job)
    known = of_jobs.get(job_id)
    if known is None or known[0] != event.id:
        known = of_jobs[job_id] = (event.id, render(event.job))
    return known[1]
