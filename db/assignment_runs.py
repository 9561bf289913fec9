"""Runs of automatic assignment: begun, counted chunk by chunk, ended."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.keyset import Position, newest_first
from db.models import AssignmentRun, Collector
from db.store import Store
from domain.errors import Conflict, NotFound

ENDED = frozenset({"completed", "failed"})


class AssignmentRunEnded(Conflict):
    """A run of automatic assignment that has failed or is done; what it assigned stands."""

    type = "assignment-run-ended"
    title = "The assignment run has ended"


class AssignmentRunStore(Store):
    """The runs of automatic assignment of one agency."""

    async def open(self, run_id: UUID, *, origin: str, requested_by: str) -> AssignmentRun:
        """Make a run, or find it by its id."""
        new = {"id": run_id, "origin": origin, "requested_by": requested_by}
        await self._session.execute(
            upsert(AssignmentRun).values(agency_id=self._agency_id, **new).on_conflict_do_nothing()
        )
        return await self.get(run_id)

    async def begin(self, run_id: UUID) -> AssignmentRun:
        """Begin a run; one that has ended stays as it is.

        Others that never ended are given up: their workflow is gone, for there is one at a time.
        """
        values = {"agency": self._agency_id, "run": run_id}
        await self._session.execute(_GIVE_UP, values)
        await self._session.execute(_BEGIN, values)
        return await self.get(run_id)

    async def find(self, run_id: UUID) -> AssignmentRun | None:
        """One run, or None when it is not there or not this agency's."""
        found: AssignmentRun | None = await self._session.scalar(
            select(AssignmentRun)
            .where(AssignmentRun.agency_id == self._agency_id, AssignmentRun.id == run_id)
            .execution_options(populate_existing=True)
        )
        return found

    async def get(self, run_id: UUID) -> AssignmentRun:
        """One run. Raises ``NotFound``."""
        run = await self.find(run_id)
        if run is None:
            raise NotFound("there is no such assignment run")
        return run

    async def going(self, *, besides: UUID) -> UUID | None:
        """The run that is at work now, or waits for a worker: one at a time does."""
        found: UUID | None = await self._session.scalar(
            select(AssignmentRun.id)
            .where(
                AssignmentRun.agency_id == self._agency_id,
                AssignmentRun.status.in_(["running", "pending"]),
                AssignmentRun.id != besides,
            )
            .order_by(AssignmentRun.status.desc(), AssignmentRun.created_at.desc())
            .limit(1)
        )
        return found

    async def page(self, position: Position | None, limit: int) -> Sequence[AssignmentRun]:
        """Runs of the agency, newest first, keyed by ``(created_at, id)``."""
        query = select(AssignmentRun).where(AssignmentRun.agency_id == self._agency_id)
        columns = (AssignmentRun.created_at, AssignmentRun.id)
        return (await self._session.scalars(newest_first(query, columns, position, limit))).all()

    async def names(self, collector_ids: Sequence[UUID]) -> dict[UUID, str]:
        """The names of collectors by id."""
        rows = await self._session.execute(
            select(Collector.id, Collector.full_name).where(
                Collector.agency_id == self._agency_id, Collector.id.in_(collector_ids)
            )
        )
        return {row.id: row.full_name for row in rows}

    async def take(self, run_id: UUID) -> AssignmentRun:
        """A run, locked. ``AssignmentRunEnded`` when it has ended."""
        await self._session.execute(_LOCK, {"agency": self._agency_id, "run": run_id})
        run = await self.get(run_id)
        if run.status in ENDED:
            raise AssignmentRunEnded(f"the assignment run has ended ({run.reason or run.status})")
        return run

    async def advance(
        self, run: AssignmentRun, shares: Mapping[UUID, tuple[int, int]], after: tuple[int, UUID]
    ) -> None:
        """Count what a chunk has given: ``shares`` are accounts and their value in cents, by collector.

        In the chunk's transaction; the run goes on behind ``after``, a rank and an account id.
        """
        known = {
            UUID(collector): (share["accounts"], share["cents"]) for collector, share in run.shares.items()
        }
        for collector, (accounts, cents) in shares.items():
            former = known.get(collector, (0, 0))
            known[collector] = (former[0] + accounts, former[1] + cents)
        summed = {
            str(collector): {"accounts": accounts, "cents": cents}
            for collector, (accounts, cents) in known.items()
        }
        await self._session.execute(
            _ADVANCE,
            {
                "agency": self._agency_id,
                "run": run.id,
                "assigned": sum(accounts for accounts, _ in shares.values()),
                "shares": json.dumps(summed),
                "rank": after[0],
                "id": after[1],
            },
        )

    async def finish(self, run_id: UUID, *, left_over: int) -> AssignmentRun:
        """End a run; safe to repeat."""
        values = {"agency": self._agency_id, "run": run_id, "left": left_over}
        await self._session.execute(_FINISH, values)
        return await self.get(run_id)

    async def fail(self, run_id: UUID, reason: str) -> None:
        """End a run that cannot go on; what it assigned stands."""
        await self._session.execute(_FAIL, {"agency": self._agency_id, "run": run_id, "reason": reason})


_GIVE_UP = text("""
    UPDATE assignment_run
       SET status = 'failed', reason = 'it was cut off; another run has begun since',
           completed_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id <> :run AND status IN ('pending', 'running')
       AND EXISTS (SELECT FROM assignment_run b
                    WHERE b.agency_id = :agency AND b.id = :run AND b.status IN ('pending', 'running'))
""")

_BEGIN = text("""
    UPDATE assignment_run
       SET status = 'running', started_at = COALESCE(started_at, clock_timestamp()),
           updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run AND status IN ('pending', 'running')
""")

_LOCK = text("SELECT FROM assignment_run WHERE agency_id = :agency AND id = :run FOR UPDATE")

_ADVANCE = text("""
    UPDATE assignment_run
       SET assigned = assigned + :assigned, shares = CAST(:shares AS jsonb), after_rank = :rank,
           after_id = :id, updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run
""")

_FINISH = text("""
    UPDATE assignment_run
       SET status = 'completed', left_over = :left, completed_at = clock_timestamp(),
           updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run AND status = 'running'
""")

_FAIL = text("""
    UPDATE assignment_run
       SET status = 'failed', reason = :reason, completed_at = clock_timestamp(),
           updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run AND status IN ('pending', 'running')
""")
