"""Progress of long jobs as a stream: one poller per process and job, shared by all who listen."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import structlog

from domain.errors import Unavailable

POLL_INTERVAL_S = 1.0
ENDS = frozenset({"completed", "failed"})
"""The statuses in which a job changes no more."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.stdlib.get_logger("progress")


class Job(Protocol):
    """What can be followed: ``updated_at`` grows with every change until ``status`` is one of ``ENDS``."""

    @property
    def status(self) -> str: ...

    @property
    def updated_at(self) -> datetime: ...


JobT = TypeVar("JobT", bound=Job)


class ProgressEvent(NamedTuple, Generic[JobT]):
    """A job as it stood at ``id``: microseconds since the epoch of its last change.

    Ids only grow and are the same in every process, so a listener may go on anywhere.
    """

    id: int
    job: JobT

    @property
    def is_last(self) -> bool:
        """Whether the job has ended."""
        return self.job.status in ENDS


def event_of(job: JobT) -> ProgressEvent[JobT]:
    """The event that a job, as it was read, is."""
    return ProgressEvent((job.updated_at - EPOCH) // timedelta(microseconds=1), job)


class _Watch(Generic[JobT]):
    """What was seen last of one job, and everybody who waits for more."""

    def __init__(self) -> None:
        self.listeners = 0
        self.latest: ProgressEvent[JobT] | None = None
        self.poller: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()

    def publish(self, event: ProgressEvent[JobT]) -> None:
        """Wake the listeners when ``event`` is news."""
        if self.latest is None or event.id > self.latest.id:
            self.latest = event
            self._wake()

    def ended(self, poller: asyncio.Task[None]) -> None:
        """The poller is done; what it failed with is raised by every listener."""
        if not poller.cancelled() and (failure := poller.exception()) is not None:
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    @property
    def failed(self) -> bool:
        return self._failure is not None

    async def newer(self, than: int) -> ProgressEvent[JobT]:
        """The latest event, as soon as there is one with a larger id."""
        while self.latest is None or self.latest.id <= than:
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()
        return self.latest


class Progress(Generic[JobT]):
    """Watches jobs for as long as somebody listens. Polls hold no transaction in between.

    ``read`` takes an agency and the id of one of its jobs.
    """

    def __init__(
        self, read: Callable[[UUID, UUID], Awaitable[JobT]], *, interval_s: float = POLL_INTERVAL_S
    ) -> None:
        self._read = read
        self._interval_s = interval_s
        self._watches: dict[tuple[UUID, UUID], _Watch[JobT]] = {}

    async def follow(
        self, agency_id: UUID, job_id: UUID, *, after: int = 0
    ) -> AsyncGenerator[ProgressEvent[JobT]]:
        """Events with ids above ``after``; ends with the one that ends the job."""
        async with self._watching(agency_id, job_id) as watch:
            seen = after
            while True:
                event = await watch.newer(seen)
                yield event
                if event.is_last:
                    return
                seen = event.id

    @asynccontextmanager
    async def _watching(self, agency_id: UUID, job_id: UUID) -> AsyncIterator[_Watch[JobT]]:
        key = (agency_id, job_id)
        watch = self._watches.get(key)
        if watch is None or watch.failed:
            watch = self._watches[key] = _Watch()
            watch.poller = asyncio.create_task(self._poll(watch, agency_id, job_id))
            watch.poller.add_done_callback(watch.ended)
        watch.listeners += 1
        try:
            yield watch
        finally:
            watch.listeners -= 1
            if not watch.listeners:
                if self._watches.get(key) is watch:
                    del self._watches[key]
                if watch.poller is not None:
                    watch.poller.cancel()

    async def _poll(self, watch: _Watch[JobT], agency_id: UUID, job_id: UUID) -> None:
        while watch.latest is None or not watch.latest.is_last:
            try:
                watch.publish(event_of(await self._read(agency_id, job_id)))
            except Unavailable:
                _log.warning("progress cannot be read at the moment", job_id=str(job_id))
            await asyncio.sleep(self._interval_s)
