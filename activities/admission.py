"""Admitting accounts to be worked: the best first, as many as there is room for."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from temporalio import activity

from activities.at_once import each
from activities.heartbeats import heartbeating
from activities.messages import AccountRef, Message
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from db.admission import Candidate
    from db.session import Database

ACTOR = "admission"
SETTLE_S = 2.0
"""How long to wait, in seconds, while better accounts may be on their way in."""

STARTS_AT_ONCE = 16


class Place(Message):
    """A place in the order: the rank and id of the last account that was looked at."""

    rank: int
    account_id: UUID


class AdmissionRequest(Message):
    """Admit the next accounts of an agency, those behind ``after`` in the order."""

    agency_id: UUID
    after: Place | None = None


class Admitted(Message):
    """What a batch came to. ``more`` says that there may be room and accounts for another one,
    ``pause_s`` how long to wait for it, in seconds, to keep the rate."""

    started: int
    after: Place | None
    more: bool
    pause_s: float


class AdmissionActivities:
    """The steps of ``Admission``.

    ``start`` starts the lifecycle of an account, and does nothing where it runs already. ``rate`` is
    in starts per second. A lifecycle is started before its row is marked: a crash between the two
    leaves a candidate, whose next start then finds it running.
    """

    def __init__(
        self,
        db: "Database",
        start: "Callable[[AccountRef, int, str], Awaitable[None]]",
        *,
        capacity: int,
        rate: float,
    ) -> None:
        self._db = db
        self._start = start
        self._capacity = capacity
        self._rate = rate

    @activity.defn(name="admission.admit")
    async def admit(self, request: AdmissionRequest) -> Admitted:
        """Start the lifecycles of the next accounts in the order and mark them.

        While a portfolio is on its way in nobody is admitted: the order is not known yet.
        """
        tenant = Tenant.system(request.agency_id, ACTOR)
        batch = max(1, round(self._rate))
        after = (request.after.rank, request.after.account_id) if request.after else None
        async with self._db.transaction(tenant) as tx:
            agency = await tx.agencies.get(request.agency_id)
            capacity = self._capacity if agency.lifecycle_capacity is None else agency.lifecycle_capacity
            if await tx.admission.settling():
                return Admitted(started=0, after=None, more=True, pause_s=SETTLE_S)
            room = await tx.admission.room(capacity)
            candidates = await tx.admission.candidates(min(batch, room), after=after) if room else []
        if not candidates:
            return Admitted(started=0, after=None, more=False, pause_s=0)
        started = asyncio.get_running_loop().time()
        async with heartbeating():
            await self._start_all(request.agency_id, candidates)
            async with self._db.transaction(tenant) as tx:
                await tx.admission.admit([candidate.account_id for candidate in candidates])
        last = candidates[-1]
        spent = asyncio.get_running_loop().time() - started
        return Admitted(
            started=len(candidates),
            after=Place(rank=last.rank, account_id=last.account_id),
            more=len(candidates) == batch and room > batch,
            pause_s=max(0.0, len(candidates) / self._rate - spent),
        )

    async def _start_all(self, agency_id: UUID, candidates: "Sequence[Candidate]") -> None:
        async def start(candidate: "Candidate") -> None:
            ref = AccountRef(agency_id=agency_id, account_id=candidate.account_id)
            await self._start(ref, candidate.priority, candidate.status)

        await each(start, candidates, at_once=STARTS_AT_ONCE)

    @activity.defn(name="admission.release")
    async def release(self, ref: AccountRef) -> None:
        """Free the place of an account whose lifecycle ends."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            await tx.admission.release(ref.account_id)
