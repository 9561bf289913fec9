"""A scoring run: its turn, its chunks, its end."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment

from activities.admission import AdmissionRequest, Admitted
from activities.scoring import ChunkRef, FailedRun, ScoringRef, ScoringRequest, ScoringSummary
from workflows import queues
from workflows.failures import CANCELLED
from workflows.scoring import CHUNKS_IN_A_HISTORY, TURN_POLL, PortfolioScoring

AGENCY, IMPORT, RUN = UUID(int=1), UUID(int=2), UUID(int=3)


class Scores:
    """A run with some chunks, the turn taken by another run for a while."""

    def __init__(self, clock: WorkflowEnvironment) -> None:
        self._clock = clock
        self.others_turns = 0
        self.chunks = 3
        self.opened: list[UUID | None] = []
        self.over = False
        self.broken: int | None = None
        self.asked: list[datetime] = []
        self.scored: list[int] = []
        self.failed: list[str] = []
        self.admissions = 0
        self.held: str | None = None
        self.holding = asyncio.Event()

    async def _hold(self, step: str) -> None:
        if self.held == step:
            self.holding.set()
            await asyncio.Event().wait()

    @activity.defn(name="scoring.open")
    async def open(self, request: ScoringRequest) -> ScoringRef:
        self.opened.append(request.run_id)
        return ScoringRef(agency_id=request.agency_id, run_id=RUN, over=self.over)

    @activity.defn(name="scoring.begin")
    async def begin(self, ref: ScoringRef) -> bool:
        self.asked.append(await self._clock.get_current_time())
        await self._hold("begin")
        return len(self.asked) > self.others_turns

    @activity.defn(name="scoring.open_chunks")
    async def open_chunks(self, ref: ScoringRef) -> list[int]:
        return [chunk for chunk in range(self.chunks) if chunk not in self.scored]

    @activity.defn(name="scoring.score_chunk")
    async def score_chunk(self, ref: ChunkRef) -> int:
        await self._hold("chunk")
        if ref.chunk == self.broken:
            raise ApplicationError("the scorecard is gone", type="not-found", non_retryable=True)
        self.scored.append(ref.chunk)
        return 10

    @activity.defn(name="scoring.finish")
    async def finish(self, ref: ScoringRef) -> ScoringSummary:
        return ScoringSummary(
            run_id=ref.run_id,
            status="completed",
            scored=30,
            changed=30,
            errors=0,
            high_priority=1,
            levels={"LOW": 30},
        )

    @activity.defn(name="scoring.fail")
    async def fail(self, failed: FailedRun) -> None:
        self.failed.append(failed.reason)

    @activity.defn(name="admission.admit")
    async def admit(self, request: AdmissionRequest) -> Admitted:
        self.admissions += 1
        return Admitted(started=0, after=None, more=False, pause_s=0)


async def begin(clock: WorkflowEnvironment) -> WorkflowHandle[Any, ScoringSummary]:
    return await clock.client.start_workflow(
        PortfolioScoring.run,
        ScoringRequest(agency_id=AGENCY, origin="import", import_id=IMPORT),
        id=queues.scoring_workflow_id(IMPORT),
        task_queue=queues.LIFECYCLE,
    )


async def test_a_run_waits_for_its_turn_then_scores_and_has_the_best_admitted(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    scores = Scores(time_skipping)
    scores.others_turns = 3
    async with serving(scores):
        summary = await (await begin(time_skipping)).result()
        admission = time_skipping.client.get_workflow_handle(queues.admission_workflow_id(AGENCY))
        await admission.result()
    assert summary.scored == 30
    waits = [later - earlier for earlier, later in zip(scores.asked, scores.asked[1:], strict=False)]
    assert len(waits) == 3
    assert all(TURN_POLL <= wait < TURN_POLL + timedelta(seconds=30) for wait in waits)
    assert sorted(scores.scored) == [0, 1, 2]
    assert (scores.failed, scores.admissions) == ([], 1)


async def test_a_run_that_cannot_go_on_gives_its_turn_back(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    scores = Scores(time_skipping)
    scores.broken = 1
    async with serving(scores):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await begin(time_skipping)).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "not-found"
    assert scores.failed == ["the scorecard is gone"]


@pytest.mark.parametrize("step", ["begin", "turn", "chunk"])
async def test_a_run_that_somebody_cancels_does_not_seem_to_be_at_work(
    time_skipping: WorkflowEnvironment, serving: Any, step: str
) -> None:
    scores = Scores(time_skipping)
    scores.held, scores.others_turns = step, 1_000 if step == "turn" else 0
    async with serving(scores):
        run = await begin(time_skipping)
        if step == "turn":
            await time_skipping.sleep(3 * TURN_POLL)
        else:
            await asyncio.wait_for(scores.holding.wait(), 60)
        await run.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await run.result()
    assert is_cancelled_exception(failure.value.cause)
    assert scores.failed == [CANCELLED]


async def test_a_run_of_very_many_chunks_goes_on_in_a_new_history(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    scores = Scores(time_skipping)
    scores.chunks = CHUNKS_IN_A_HISTORY + 2
    async with serving(scores):
        started = await begin(time_skipping)
        summary = await started.result()
        first = await time_skipping.client.get_workflow_handle(
            started.id, run_id=started.first_execution_run_id
        ).describe()
    assert summary.status == "completed"
    assert sorted(scores.scored) == list(range(scores.chunks))
    assert first.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert scores.opened == [None, RUN], "the second goes on with the run of the first"
    assert scores.admissions == 1


async def test_a_run_that_is_over_waits_for_no_turn(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    scores = Scores(time_skipping)
    scores.over = True
    async with serving(scores):
        assert (await (await begin(time_skipping)).result()).status == "completed"
    assert (scores.asked, scores.scored) == ([], [])
