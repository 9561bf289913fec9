"""Progress of a job as server-sent events."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Header
from fastapi.responses import Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.deps import BearerToken, ServicesDep
from services.access_watch import AccessWatch
from services.progress import Job, Progress, event_of
from services.tokens import Claims

RECONNECT_MS = 2000
PING_S = 15
MAX_EVENT_ID = (1 << 63) - 1

JobT = TypeVar("JobT", bound=Job)

LastEventId = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=MAX_EVENT_ID, description="go on behind this event")
]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who follows a job, and behind which event they go on.

    The stream outlives their token, which is there to be exchanged for another, but not their login: it
    breaks off within seconds when that is changed or deactivated.
    """

    login: Claims
    watch: AccessWatch[Claims]
    after: int

    def stream(
        self,
        progress: Progress[JobT],
        agency_id: UUID,
        job_id: UUID,
        job: JobT,
        *,
        view: Callable[[JobT], BaseModel],
    ) -> Response:
        """An event for each change, the last named for the job's end.

        ``job`` is as it stands now: once it has ended and the listener knows how, there is nothing to say
        (204, which tells a browser to stop asking).
        """
        now = event_of(job)
        if now.is_last and now.id <= self.after:
            return Response(status_code=204)
        return EventSourceResponse(self._events(progress, agency_id, job_id, view), ping=PING_S)

    async def _events(
        self, progress: Progress[JobT], agency_id: UUID, job_id: UUID, view: Callable[[JobT], BaseModel]
    ) -> AsyncIterator[ServerSentEvent]:
        events = progress.follow(agency_id, job_id, after=self.after)
        async with aclosing(self.watch.while_it_holds(self.login, events)) as seen:
            async for event in seen:
                yield ServerSentEvent(
                    view(event.job).model_dump_json(),
                    id=str(event.id),
                    event=event.job.status if event.is_last else "progress",
                    retry=RECONNECT_MS,
                )


async def listener(available: ServicesDep, token: BearerToken, last_event_id: LastEventId = 0) -> Listener:
    """Who follows, by their token."""
    login = available.authentication
    return Listener(login.claims(token), login.watch, last_event_id)


ListenerDep = Annotated[Listener, Depends(listener)]
