"""Automatic assignment: the best accounts that nobody works go to the collectors with the least to work."""

from collections import Counter
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid5

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message
from domain.assignment import room_of, spread
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from db.session import Database, Transaction
    from domain.scoring import Scorer

ACTOR = "auto-assignment"
CHUNK = 5_000
"""Accounts in one transaction."""
TOLD_AT_ONCE = 500

_RUN_IDS = UUID("5c9b2a3e-7d84-5b1f-9d0f-3f7a4f9d8e21")


class AssignmentRequest(Message):
    """A run of automatic assignment to be done; ``run_id`` is that of a run that is opened already."""

    agency_id: UUID
    origin: Literal["manual", "schedule"] = "schedule"
    run_id: UUID | None = None
    requested_by: str = ACTOR


class AssignmentRef(Message):
    """One run; ``over`` when it had ended before it was asked for."""

    agency_id: UUID
    run_id: UUID
    over: bool = False


class AssignedChunk(Message):
    """What a chunk came to, in accounts; ``more`` says that there may be room and accounts for another."""

    assigned: int
    more: bool


class FailedAssignment(Message):
    """A run that cannot go on, and why."""

    agency_id: UUID
    run_id: UUID
    reason: str


class AssignmentSummary(Message):
    """What a run came to: accounts that were assigned, and those that nobody has room for."""

    run_id: UUID
    status: str
    assigned: int
    left_over: int
    collectors: int


class AssignmentActivities:
    """The steps of ``AutoAssignment``. ``scorecards`` are those that agencies can name.

    ``tell`` tells the lifecycles of some accounts of an agency what was noted for them; it never raises.
    """

    def __init__(
        self,
        db: "Database",
        scorecards: "Mapping[str, Scorer]",
        tell: "Callable[[UUID, Sequence[UUID]], Awaitable[None]]",
    ) -> None:
        self._db = db
        self._scorecards = scorecards
        self._tell = tell

    @activity.defn(name="assignment.begin")
    async def begin(self, request: AssignmentRequest) -> AssignmentRef:
        """Make the run, or find it, and begin it."""
        # The same for every attempt of this step, so that a repeated one finds what it has made.
        run_id = request.run_id or uuid5(_RUN_IDS, str(activity.info().workflow_run_id))
        async with self._db.transaction(Tenant.system(request.agency_id, ACTOR)) as tx:
            await tx.assignment_runs.open(run_id, origin=request.origin, requested_by=request.requested_by)
            run = await tx.assignment_runs.begin(run_id)
            over = run.status in {"completed", "failed"}
            return AssignmentRef(agency_id=request.agency_id, run_id=run_id, over=over)

    @activity.defn(name="assignment.assign_chunk")
    async def assign_chunk(self, ref: AssignmentRef) -> AssignedChunk:
        """Assign the next accounts in the order, as many as one transaction takes and there is room for.

        How far the run is stands in its row: a step that is repeated after its answer was lost goes on
        with the next accounts.
        """
        async with heartbeating():
            async with self._transaction(ref) as tx:
                done, more = await self._assign(tx, ref.run_id)
            # Those at work stand on the status of before, by which they would judge a command.
            for start in range(0, len(done), TOLD_AT_ONCE):
                await self._tell(ref.agency_id, done[start : start + TOLD_AT_ONCE])
            return AssignedChunk(assigned=len(done), more=more)

    @activity.defn(name="assignment.finish")
    async def finish(self, ref: AssignmentRef) -> AssignmentSummary:
        """Count what is left over and end the run."""
        async with heartbeating(), self._transaction(ref) as tx:
            left_over = await tx.assignment.count_waiting()
            run = await tx.assignment_runs.finish(ref.run_id, left_over=left_over)
            return AssignmentSummary(
                run_id=run.id,
                status=run.status,
                assigned=run.assigned,
                left_over=run.left_over or 0,
                collectors=len(run.shares),
            )

    @activity.defn(name="assignment.fail")
    async def fail(self, failed: FailedAssignment) -> None:
        """End a run that cannot go on."""
        async with self._transaction(failed) as tx:
            await tx.assignment_runs.fail(failed.run_id, failed.reason)

    async def _assign(self, tx: "Transaction", run_id: UUID) -> tuple[list[UUID], bool]:
        """Assign the next accounts: which, and whether there may be more."""
        run = await tx.assignment_runs.take(run_id)
        workloads = await tx.assignment.workloads(lock=True)
        room = room_of(workloads)
        limit = min(CHUNK, room)
        after = None if run.after_id is None else (run.after_rank or 0, run.after_id)
        waiting = await tx.assignment.waiting(limit, after=after) if limit else []
        if not waiting:
            return [], False
        versions = await tx.assignment.lock([one.account.account_id for one in waiting])
        plan = spread((w.account for w in waiting if w.account.account_id in versions), workloads)
        done = sorted(await tx.assignment.assign(plan.assignments, versions, run_id))
        await tx.rescore(self._scorecards, done)
        await tx.lifecycles.notify(done)
        worth = {one.account.account_id: one.account.value_cents for one in waiting}
        accounts, cents = Counter[UUID](), Counter[UUID]()
        for given in plan.assignments:
            if given.account_id in done:
                accounts[given.collector_id] += 1
                cents[given.collector_id] += worth[given.account_id]
        shares = {collector: (count, cents[collector]) for collector, count in accounts.items()}
        await tx.assignment_runs.advance(run, shares, waiting[-1].place)
        return done, len(waiting) == limit and room > len(done)

    def _transaction(
        self, ref: AssignmentRef | FailedAssignment
    ) -> "AbstractAsyncContextManager[Transaction]":
        return self._db.transaction(Tenant.system(ref.agency_id, ACTOR))
