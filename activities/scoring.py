"""Scoring accounts in chunks, set-based, each chunk once."""

from typing import TYPE_CHECKING
from uuid import UUID

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message
from domain.errors import NotFound
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.session import Database
    from domain.scoring import Scorecard

ACTOR = "portfolio-scoring"


class ScoringRequest(Message):
    """Score the accounts that an import touched."""

    agency_id: UUID
    import_id: UUID


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
    """What a run came to; ``levels`` counts accounts by risk level."""

    run_id: UUID
    status: str
    scored: int
    high_priority: int
    levels: dict[str, int]


class ScoringActivities:
    """The steps of ``PortfolioScoring``. ``scorecards`` are those that agencies can name."""

    def __init__(self, db: "Database", scorecards: "Mapping[str, Scorecard]") -> None:
        self._db = db
        self._scorecards = scorecards

    @activity.defn(name="scoring.open")
    async def open(self, request: ScoringRequest) -> ScoringRef:
        """Make the run of an import, or find it; it uses the scorecard that the agency has now."""
        async with self._db.transaction(Tenant.system(request.agency_id, ACTOR)) as tx:
            agency = await tx.agencies.get(request.agency_id)
            scorecard_id = await tx.scorecards.keep(self._scorecard(agency.scorecard))
            run = await tx.scores.open_run(import_id=request.import_id, scorecard_id=scorecard_id)
            over = run.status in {"completed", "failed"}
            return ScoringRef(agency_id=request.agency_id, run_id=run.id, over=over)

    @activity.defn(name="scoring.begin")
    async def begin(self, ref: ScoringRef) -> bool:
        """Take the agency's turn; False while another run has it."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            return await tx.scores.begin_run(ref.run_id)

    @activity.defn(name="scoring.open_chunks")
    async def open_chunks(self, ref: ScoringRef) -> list[int]:
        """The chunks that are still to be scored."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            return await tx.scores.chunks(ref.run_id)

    @activity.defn(name="scoring.score_chunk")
    async def score_chunk(self, ref: ChunkRef) -> int:
        """Score one chunk as its accounts are now, once; returns how many were scored."""
        async with heartbeating(), self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            agency = await tx.agencies.get(ref.agency_id)
            card = await tx.scores.scorecard_of(ref.run_id)
            done = await tx.scores.score_chunk(
                ref.run_id, ref.chunk, card, threshold=agency.high_priority_threshold
            )
            return done.scored

    @activity.defn(name="scoring.finish")
    async def finish(self, ref: ScoringRef) -> ScoringSummary:
        """Sum up and end the run."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            run = await tx.scores.finish_run(ref.run_id)
            return ScoringSummary(
                run_id=run.id,
                status=run.status,
                scored=run.scored,
                high_priority=run.high_priority,
                levels=run.levels,
            )

    @activity.defn(name="scoring.fail")
    async def fail(self, failed: FailedRun) -> None:
        """End a run that cannot go on, so that the agency's next one may have its turn."""
        async with self._db.transaction(Tenant.system(failed.agency_id, ACTOR)) as tx:
            await tx.scores.fail_run(failed.run_id, failed.reason)

    def _scorecard(self, name: str) -> "Scorecard":
        try:
            return self._scorecards[name]
        except KeyError:
            known = ", ".join(sorted(self._scorecards))
            raise NotFound(f"the agency names the scorecard {name!r}; known are {known}") from None
