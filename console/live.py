"""Progress that shows itself: server-sent events whose data is HTML."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary, WeakValueDictionary

from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.events import PING_S, RECONNECT_MS, JobT
from services.access_watch import AccessWatch
from services.progress import Progress, ProgressEvent, event_of
from services.sessions import Visitor

Render = Callable[[JobT], str]
"""The HTML of a job as it stands, or nothing where there is none to show."""


class _Rendered:
    """The event of a job that was rendered last, kept by those who look on: two hundred see one page."""

    def __init__(self) -> None:
        self._event_id = -1
        self._html = ""

    def html(self, event: ProgressEvent[JobT], render: Render[JobT]) -> str:
        """The HTML of an event, rendered for the first who asks; of the last, for each of the few who do."""
        if event.is_last:
            return render(event.job)
        if self._event_id != event.id:
            self._event_id, self._html = event.id, render(event.job)
        return self._html


_rendered: WeakKeyDictionary[Progress[Any], WeakValueDictionary[UUID, _Rendered]] = WeakKeyDictionary()
"""By job; what nobody looks on at any more is forgotten."""


def live(
    progress: Progress[JobT],
    visitor: Visitor,
    job_id: UUID,
    *,
    render: Render[JobT],
    after: int,
    watch: AccessWatch[Visitor],
    now: JobT | None = None,
    own: Render[JobT] | None = None,
) -> Response:
    """An event ``progress`` for each change behind ``after``, and ``ended`` for the last.

    ``now``: the job as it stands. Where it has ended, and the page knows how, there is nothing to say (204,
    which tells a browser to stop asking). ``render`` gives the same to everybody of the agency, ``own`` what
    this listener alone is told behind it. ``watch`` breaks it off when the visitor's session is over.
    """
    if now is not None and event_of(now).is_last and event_of(now).id <= after:
        return Response(status_code=204)
    return EventSourceResponse(_events(progress, visitor, job_id, render, after, watch, own), ping=PING_S)


async def _events(
    progress: Progress[JobT],
    visitor: Visitor,
    job_id: UUID,
    render: Render[JobT],
    after: int,
    watch: AccessWatch[Visitor],
    own: Render[JobT] | None,
) -> AsyncIterator[ServerSentEvent]:
    rendered = _rendered.setdefault(progress, WeakValueDictionary()).setdefault(job_id, _Rendered())
    try:
        events = progress.follow(visitor.who.tenant.agency_id, job_id, after=after)
        async with aclosing(watch.while_it_holds(visitor, events)) as seen:
            async for event in seen:
                yield ServerSentEvent(
                    rendered.html(event, render) + (own(event.job) if own else ""),
                    id=str(event.id),
                    event="ended" if event.is_last else "progress",
                    retry=RECONNECT_MS,
                )
    finally:
        # The traceback of a listener who went away may keep this frame for a while.
        del rendered
