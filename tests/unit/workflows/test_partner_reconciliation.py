"""A reconciliation with a partner: its files, its matching, what follows, and how it ends when it cannot."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment

from activities.break_messages import CasesSeenTo, NewsOfBreaks
from activities.partner_messages import MatchFigures
from activities.partner_run_messages import (
    ClosedStatements,
    CollectedStatements,
    FailedPartnerRun,
    PartnerReconciliationRequest,
    PartnerReconciliationSummary,
    PartnerRunConclusion,
    PartnerRunRef,
)
from activities.statement_messages import PutAway, StagedStatement, StatementFile, StatementSighting
from workflows import queues
from workflows.partner_reconciliation import CANCELLED, PartnerReconciliation

AGENCY, PARTNER, RUN = UUID(int=1), UUID(int=2), UUID(int=3)
SETTLE_S = 30.0


def file(name: str, *, dry_run: bool = False) -> StatementFile:
    return StatementFile(
        agency_id=AGENCY,
        partner_id=PARTNER,
        path=f"/partners/north/{name}",
        name=name,
        size=1000,
        mtime=1,
        found_at=datetime(2026, 1, 1, tzinfo=UTC),
        dry_run=dry_run,
    )


class Books:
    """A partner's folder and records; what was done with them, in order."""

    def __init__(self, clock: WorkflowEnvironment) -> None:
        self._clock = clock
        self.steps: list[str] = []
        self.files: list[StatementFile] = []
        self.outcomes: dict[str, StagedStatement] = {}
        self.broken: dict[str, str] = {}
        self.left_out = False
        self.whole = True
        self.over = False
        self.problems: list[str] = []
        self.failed: list[tuple[UUID | None, str]] = []
        self.looked_at: datetime | None = None
        self.staged_at: datetime | None = None
        self.held = asyncio.Event()
        self.hold = False
        self.asked: list[PartnerReconciliationRequest] = []

    def _pass(self, step: str) -> None:
        self.steps.append(step)
        if step in self.broken:
            raise ApplicationError(self.broken[step], type="gone", non_retryable=True)

    @activity.defn(name="reconciliation.begin")
    async def begin(self, request: PartnerReconciliationRequest) -> PartnerRunRef | None:
        self.asked.append(request)
        self._pass("begin")
        if self.left_out:
            return None
        assert request.run_id is not None
        return PartnerRunRef(
            agency_id=request.agency_id,
            partner_id=request.partner_id,
            run_id=request.run_id,
            scope=request.scope,
            dry_run=request.dry_run,
            over=self.over,
        )

    @activity.defn(name="statements.look")
    async def look(self, ref: PartnerRunRef) -> StatementSighting:
        self._pass("look")
        self.looked_at = await self._clock.get_current_time()
        return StatementSighting(files=self.files, problems=["x.csv: is a link"], settle_s=SETTLE_S)

    @activity.defn(name="statements.stage")
    async def stage(self, file: StatementFile) -> StagedStatement:
        self._pass(f"stage {file.name}")
        self.staged_at = self.staged_at or await self._clock.get_current_time()
        return self.outcomes.get(file.name, StagedStatement(statement_id=UUID(int=9), state="staged"))

    @activity.defn(name="reconciliation.close")
    async def close(self, collected: CollectedStatements) -> ClosedStatements:
        self._pass("close")
        self.whole = collected.whole
        return ClosedStatements(statements=1, lines=10, problems=1)

    @activity.defn(name="reconciliation.match")
    async def match(self, ref: PartnerRunRef) -> MatchFigures:
        self._pass("match")
        if self.hold:
            self.held.set()
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.02)
        return MatchFigures(lines=10)

    @activity.defn(name="reconciliation.conclude")
    async def conclude(self, concluded: PartnerRunConclusion) -> PartnerReconciliationSummary:
        self._pass("conclude")
        self.problems = concluded.problems
        figures = {"lines": 10, "problems": 1, "matched": 9, "breaks": 2, "resolved": 1, "cured": 0}
        return PartnerReconciliationSummary(run_id=concluded.run.run_id, status="completed", **figures)

    @activity.defn(name="reconciliation.fail")
    async def fail(self, failed: FailedPartnerRun) -> None:
        self.failed.append((failed.request.run_id, failed.reason))

    @activity.defn(name="breaks.follow")
    async def follow(self, news: NewsOfBreaks) -> CasesSeenTo:
        self._pass("follow")
        return CasesSeenTo(started=0, told=0)

    @activity.defn(name="statements.put_away")
    async def put_away(self, ref: PartnerRunRef) -> PutAway:
        self._pass("put_away")
        return PutAway(moved=1, problems=[])


@pytest.fixture
def books(time_skipping: WorkflowEnvironment) -> Books:
    return Books(time_skipping)


async def begin(
    clock: WorkflowEnvironment, run_id: UUID | None = RUN, **changes: Any
) -> WorkflowHandle[Any, PartnerReconciliationSummary | None]:
    origin = "manual" if run_id else "schedule"
    values = {"agency_id": AGENCY, "partner_id": PARTNER, "run_id": run_id, "origin": origin}
    return await clock.client.start_workflow(
        PartnerReconciliation.run,
        PartnerReconciliationRequest.model_validate(values | changes),
        id=queues.partner_reconciliation_workflow_id(RUN),
        task_queue=queues.LIFECYCLE,
    )


async def test_a_full_run_stages_what_stays_the_same_and_puts_it_away_last(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books
) -> None:
    books.files = [file("a.csv"), file("b.csv"), file("c.csv")]
    books.outcomes["b.csv"] = StagedStatement(
        statement_id=UUID(int=8), state="refused", reason="it is truncated"
    )
    books.outcomes["c.csv"] = StagedStatement(statement_id=None, state="changed")
    async with serving(books):
        summary = await (await begin(time_skipping)).result()
    assert summary is not None
    assert (summary.run_id, summary.matched) == (RUN, 9)
    assert books.steps == [
        "begin", "look", "stage a.csv", "stage b.csv", "stage c.csv", "close", "match", "conclude", "follow",
        "put_away",
    ]  # fmt: skip
    assert books.problems == [
        "x.csv: is a link",
        "b.csv: it is truncated",
        "c.csv: it was still being written; the next run takes it",
        "as not every file could be taken, nothing was called missing there",
    ]
    assert not books.whole
    assert books.looked_at
    assert books.staged_at
    assert books.staged_at - books.looked_at >= timedelta(seconds=SETTLE_S)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"scope": "messages"}, ["begin", "close", "match", "conclude", "follow"]),
        ({"dry_run": True}, ["begin", "look", "stage a.csv", "close", "match", "conclude"]),
    ],
    ids=["messages", "dry-run"],
)
async def test_what_a_run_leaves_out(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books, changes: Any, steps: list[str]
) -> None:
    books.files = [file("a.csv")]
    async with serving(books):
        await (await begin(time_skipping, **changes)).result()
    assert books.steps == steps


async def test_a_scheduled_run_has_an_id_of_its_own_or_is_left_out(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books
) -> None:
    async with serving(books):
        first = await (await begin(time_skipping, run_id=None)).result()
        books.left_out = True
        assert await (await begin(time_skipping, run_id=None)).result() is None
    assert first is not None
    assert {one.run_id for one in books.asked} > {first.run_id}
    assert books.steps.count("match") == 1
    assert books.failed == []


async def test_a_run_that_had_ended_only_answers(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books
) -> None:
    books.over = True
    async with serving(books):
        assert await (await begin(time_skipping)).result() is not None
    assert books.steps == ["begin", "conclude"]


@pytest.mark.parametrize("step", ["begin", "look", "stage a.csv", "close", "match", "conclude"])
async def test_a_run_that_cannot_go_on_says_why(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books, step: str
) -> None:
    books.files = [file("a.csv")]
    books.broken[step] = "the server has another key"
    async with serving(books):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await begin(time_skipping)).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert (failure.value.cause.type, failure.value.cause.non_retryable) == ("gone", True)
    assert books.failed == [(RUN, "the server has another key")]
    assert books.steps[-1] == step


async def test_a_file_that_cannot_be_moved_is_left_for_the_next_run(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books
) -> None:
    books.broken["put_away"] = "the folder cannot be written to"
    async with serving(books):
        handle = await begin(time_skipping)
        summary = await handle.result()
    assert summary is not None
    assert summary.status == "completed"
    assert books.failed == []


async def test_a_run_that_somebody_cancels_does_not_seem_to_be_at_work(
    time_skipping: WorkflowEnvironment, serving: Any, books: Books
) -> None:
    books.hold = True
    async with serving(books):
        handle = await begin(time_skipping)
        await asyncio.wait_for(books.held.wait(), 60)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    assert isinstance(failure.value.cause, CancelledError)
    assert books.failed == [(RUN, CANCELLED)]
