"""From the inbox to the workflows: events are looked at together, a moment after they came.

Most events tell what the process of the payment is just writing down itself. After that moment the books are
asked, for many events in one statement, and only what is news gets a workflow. What a crash takes from here
is in the inbox, and a sweep starts it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import structlog

from domain.errors import DomainError, Unavailable
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from db.inbox import Told
    from db.session import Database

AT_ONCE = 8
BATCH = 500
MOST_WAITING = 10_000
"""What came while Temporal was away and is more than this is left to the sweep."""

_TOGETHER = 0.25
"""How much later events may be looked at, as a part of what they have to wait for anyway."""

_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_CLOSE_WITHIN_S = 3.0
_log = structlog.stdlib.get_logger("inbox")


class _Waiting(NamedTuple):
    due: float
    agency_id: UUID
    told: "Told"


class InboxDispatcher:
    """Has events handled ``settle_s`` seconds after they came, or a little later with those that came after
    them; ``start`` raises ``Unavailable``."""

    def __init__(
        self, database: "Database", start: Callable[[UUID, UUID], Awaitable[None]], *, settle_s: float
    ) -> None:
        self._database = database
        self._start = start
        self._settle_s = settle_s
        self._waiting: list[_Waiting] = []
        self._pause_s = _FIRST_PAUSE_S
        self._task: asyncio.Task[None] | None = None

    def soon(self, agency_id: UUID, told: "Told") -> None:
        """Have a stored event handled, without being waited for."""
        if len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append(_Waiting(monotonic() + self._settle_s, agency_id, told))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Hand over what still waits, as far as that is quickly done."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        left, self._waiting = self._waiting, []
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._hand_over(left)

    async def _run(self) -> None:
        while self._waiting:
            # A little longer than the first has to wait: others fall due meanwhile, and go along with it.
            await asyncio.sleep(max(0.0, self._waiting[0].due - monotonic()) + self._settle_s * _TOGETHER)
            now = monotonic()
            due = [one for one in self._waiting[:BATCH] if one.due <= now]
            left = await self._hand_over(due)
            self._waiting = self._waiting[len(due) :]
            if left:
                await self._again(left)
            else:
                self._pause_s = _FIRST_PAUSE_S

    async def _again(self, left: list[_Waiting]) -> None:
        """Temporal or the database is away: all wait, longer each time."""
        _log.warning("events wait to be handed over", events=len(left) + len(self._waiting))
        self._waiting = [*left, *self._waiting][:MOST_WAITING]
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    async def _hand_over(self, events: Sequence[_Waiting]) -> list[_Waiting]:
        """Start what is news; what could not be handed over."""
        by_agency: dict[UUID, list[_Waiting]] = defaultdict(list)
        for event in events:
            by_agency[event.agency_id].append(event)
        left: list[_Waiting] = []
        for agency_id, mine in by_agency.items():
            left += await self._of_agency(agency_id, mine)
        return left

    async def _of_agency(self, agency_id: UUID, events: list[_Waiting]) -> list[_Waiting]:
        try:
            async with self._database.transaction(Tenant.system(agency_id, "inbox")) as tx:
                known = await tx.inbox.settle_known([event.told for event in events])
        except Unavailable:
            return events
        except DomainError as error:
            _log.error("events are left to the sweep", agency_id=str(agency_id), error_type=error.type)
            return []
        gate = asyncio.Semaphore(AT_ONCE)

        async def begun(event: _Waiting) -> bool:
            async with gate:
                try:
                    await self._start(agency_id, event.told.event_id)
                except Unavailable:
                    return False
                return True

        news = [event for event in events if event.told.event_id not in known]
        done = await asyncio.gather(*(begun(event) for event in news))
        return [event for event, ok in zip(news, done, strict=True) if not ok]
