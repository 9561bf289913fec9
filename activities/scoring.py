"""Scoring accounts in chunks, set-based, each chunk once."""

from decimal import Decimal
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid5

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message
from domain.errors import NotFound
from domain.scoring import runnable
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from db.session import Database, Transaction
    from domain.scoring import Scorer

ACTOR = "portfolio-scoring"
BATCH_SIZE = 25_000
"""Accounts in one chunk of a run over all accounts, unless asked otherwise."""

_MANY_CHANGES = 10_000
_RUN_IDS = UUID("0f6f2f0e-9d1c-5f0b-8a53-6a1de6f1a3b4")


class ScoringRequest(Message):
    """What is to be scored: the accounts that an import touched, or all of the agency's.

    ``run_id`` is that of a run that is opened already, if one is. ``threshold`` replaces the agency's
    for this run; ``batch_size`` is in accounts. What was asked before there were other origins names an
    import only.
    """

    agency_id: UUID
    origin: Literal["manual", "schedule", "import"] = "import"
    run_id: UUID | None = None
    import_id: UUID | None = None
    requested_by: str = ACTOR
    batch_size: int = BATCH_SIZE
    threshold: Decimal | None = None


class ScoringRef(Message):
    """One scoring run; ``over`` when it had ended before it was asked for."""

    agency_id: UUID
    run_id: UUID
    over: bool = False


class ChunkRef(Message):
    """One chunk of a scoring run."""

    agency_id: UUID
    run_id: UUID
    chunk: int


class FailedRun(Message):
    """A scoring run that cannot go on, and why."""

    agency_id: UUID
    run_id: UUID
    reason: str


class ScoringSummary(Message):
    """What a run came to, in accounts; ``levels`` counts them by risk level.

    ``partners``: the ids of those who are to be sent the accounts of high priority.
    """

    run_id: UUID
    status: str
    scored: int
    changed: int = 0
    errors: int = 0
    high_priority: int
    levels: dict[str, int]
    partners: tuple[UUID, ...] = ()


class ScoringActivities:
    """The steps of ``PortfolioScoring``. ``scorecards`` are those that agencies can name."""

    def __init__(self, db: "Database", scorecards: "Mapping[str, Scorer]") -> None:
        self._db = db
        self._scorecards = scorecards

    @activity.defn(name="scoring.open")
    async def open(self, request: ScoringRequest) -> ScoringRef:
        """Make the run, or find it; it uses the scorecard and threshold that the agency has now."""
        # The same for every attempt of this step, so that a repeated one finds what it has made.
        run_id = request.run_id or uuid5(_RUN_IDS, str(activity.info().workflow_run_id))
        async with self._db.transaction(Tenant.system(request.agency_id, request.requested_by)) as tx:
            agency = await tx.agencies.get(request.agency_id)
            card = self._scorecard(agency.scorecard)
            wanted = agency.high_priority_threshold if request.threshold is None else request.threshold
            run = await tx.scoring_runs.open(
                id=run_id,
                origin=request.origin,
                requested_by=request.requested_by,
                scorecard_id=await tx.scorecards.keep(card),
                threshold=card.limit(wanted),
                batch_size=request.batch_size,
                import_id=request.import_id,
            )
            over = run.status in {"completed", "failed"}
            return ScoringRef(agency_id=request.agency_id, run_id=run.id, over=over)

    @activity.defn(name="scoring.begin")
    async def begin(self, ref: ScoringRef) -> bool:
        """Take the agency's turn; False while another run has it."""
        async with self._transaction(ref) as tx:
            return await tx.scoring_runs.begin(ref.run_id)

    @activity.defn(name="scoring.open_chunks")
    async def open_chunks(self, ref: ScoringRef) -> list[int]:
        """The chunks that are still to be scored; planned when this is first asked."""
        async with heartbeating(), self._transaction(ref) as tx:
            return list(await tx.scoring_runs.plan(await tx.scoring_runs.get(ref.run_id)))

    @activity.defn(name="scoring.score_chunk")
    async def score_chunk(self, ref: ChunkRef) -> int:
        """Score one chunk as its accounts are now, once; returns how many were scored."""
        async with heartbeating(), self._transaction(ref) as tx:
            run, chunk = await tx.scoring_runs.take(ref.run_id, ref.chunk)
            if chunk.scored_at is not None:
                return chunk.scored
            scorer = runnable(await tx.scorecards.get(run.scorecard_id), self._scorecards)
            done = await tx.scores.score_chunk(run, chunk, scorer)
            await tx.scoring_runs.add_errors(ref.run_id, done.failed)
            await tx.scoring_runs.mark(ref.run_id, ref.chunk, done)
            return done.scored

    @activity.defn(name="scoring.finish")
    async def finish(self, ref: ScoringRef) -> ScoringSummary:
        """Sum up and end the run."""
        async with heartbeating(), self._transaction(ref) as tx:
            run = await tx.scoring_runs.finish(ref.run_id)
            if run.changed >= _MANY_CHANGES:
                await tx.scores.refresh_statistics()
            # An import that brought none of high priority is no news to a partner.
            served = await tx.partners.served() if run.high_priority or run.import_id is None else ()
            return ScoringSummary(
                run_id=run.id,
                status=run.status,
                scored=run.scored,
                changed=run.changed,
                errors=run.errors,
                high_priority=run.high_priority,
                levels=run.levels,
                partners=tuple(served),
            )

    @activity.defn(name="scoring.fail")
    async def fail(self, failed: FailedRun) -> None:
        """End a run that cannot go on, so that the agency's next one may have its turn."""
        async with self._transaction(failed) as tx:
            await tx.scoring_runs.fail(failed.run_id, failed.reason)

    def _transaction(
        self, ref: ScoringRef | ChunkRef | FailedRun
    ) -> "AbstractAsyncContextManager[Transaction]":
        return self._db.transaction(Tenant.system(ref.agency_id, ACTOR))

    def _scorecard(self, name: str) -> "Scorer":
        try:
            return self._scorecards[name]
        except KeyError:
            known = ", ".join(sorted(self._scorecards))
            raise NotFound(f"the agency names the scorecard {name!r}; known are {known}") from None
