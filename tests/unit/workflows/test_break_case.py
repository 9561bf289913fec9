"""The case of a break on a clock that skips: answered in time or escalated, word sent, never left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment

from activities.break_messages import BreakRef, BreakStanding, UndeliveredWord
from domain.errors import Conflict, NotFound, Unavailable
from workflows import queues
from workflows.break_case import LEFT, PAUSE, BreakCase

AGENCY, BREAK = UUID(int=1), UUID(int=2)
SLA = timedelta(hours=72)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ENOUGH_EVENTS = 4200
"""After which Temporal suggests another run."""


class Queue:
    """One break in memory; ``looks`` are the moments at which it was looked at."""

    def __init__(self, clock: WorkflowEnvironment, due: datetime) -> None:
        self._clock = clock
        self.due = due
        self.state: Any = "open"
        self.resolution: str | None = None
        self.wanted = True
        self.word: str | None = None
        self.escalated_at: datetime | None = None
        self.fail_with: str | None = None
        self.refuse_word: str | None = None
        self.sent = 0
        self.given_up: list[str] = []
        self.looks: list[datetime] = []

    def resolve(self, resolution: str, *, word: bool = False) -> None:
        self.state, self.resolution = "resolved", resolution
        self.word = "pending" if word else None

    @activity.defn(name="breaks.attend")
    async def attend(self, ref: BreakRef) -> BreakStanding:
        now = await self._clock.get_current_time()
        self.looks.append(now)
        if self.fail_with is not None:
            raise ApplicationError("not now", type=self.fail_with, non_retryable=True)
        if self.state == "resolved":
            to_tell = self.word == "pending"
            return BreakStanding(
                state="resolved", resolution=self.resolution, over=not to_tell, to_tell=to_tell
            )
        if not self.wanted:
            return BreakStanding(state="open", over=True)
        if now >= self.due and self.escalated_at is None:
            self.escalated_at = now
        escalated = self.escalated_at is not None
        return BreakStanding(state=self.state, look_at=None if escalated else self.due, escalated=escalated)

    @activity.defn(name="breaks.deliver")
    async def deliver(self, ref: BreakRef) -> None:
        self.sent += 1
        if self.refuse_word is not None:
            raise ApplicationError(
                "the partner is away", type=self.refuse_word, non_retryable=self.refuse_word == Conflict.type
            )
        self.word = "delivered"

    @activity.defn(name="breaks.give_up")
    async def give_up(self, undelivered: UndeliveredWord) -> bool:
        self.given_up.append(undelivered.reason)
        self.word = "failed"
        return True


@pytest.fixture
async def queue(time_skipping: WorkflowEnvironment, serving: Any) -> AsyncIterator[Queue]:
    made = Queue(time_skipping, await time_skipping.get_current_time() + SLA)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(made, workflows=[BreakCase]))
        yield made


async def start(clock: WorkflowEnvironment) -> WorkflowHandle[Any, Any]:
    return await clock.client.start_workflow(
        BreakCase.run,
        BreakRef(agency_id=AGENCY, break_id=BREAK),
        id=queues.break_workflow_id(BREAK),
        task_queue=queues.LIFECYCLE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="changed",
    )


async def test_a_break_that_nobody_answers_is_escalated_once(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(SLA - HOUR)
    assert queue.escalated_at is None
    assert len(queue.looks) <= 2, "nobody looks without need"
    await time_skipping.sleep(2 * HOUR)
    assert queue.escalated_at is not None
    assert queue.due <= queue.escalated_at < queue.due + HOUR
    first = queue.escalated_at
    await time_skipping.sleep(10 * DAY)
    assert queue.escalated_at == first
    assert (await case.describe()).status is WorkflowExecutionStatus.RUNNING
    queue.resolve("explain")
    await case.signal(BreakCase.changed)
    assert await case.result() == "explain"


async def test_a_resolution_ends_the_case_before_its_time(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(HOUR)
    queue.state = "proposed"
    await case.signal(BreakCase.changed)
    await time_skipping.sleep(HOUR)
    queue.resolve("accept_theirs")
    await case.signal(BreakCase.changed)
    assert await case.result() == "accept_theirs"
    assert queue.escalated_at is None
    assert queue.sent == 0


async def test_the_next_statement_closes_the_case_of_what_has_cured_itself(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(DAY)
    await case.signal(BreakCase.answered)
    await time_skipping.sleep(HOUR)
    assert len(queue.looks) >= 2, "it says the same again: the case goes on"
    queue.resolve("cured")
    await case.signal(BreakCase.answered)
    assert await case.result() == "cured"


async def test_a_signal_that_was_lost_is_made_up_for(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(SLA + HOUR)
    queue.resolve("cured")
    assert await asyncio.wait_for(case.result(), 60) == "cured"


async def test_a_break_that_nobody_works_any_more_is_left(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(HOUR)
    queue.wanted = False
    await case.signal(BreakCase.changed)
    assert await case.result() == LEFT


async def test_word_is_sent_until_it_arrives(time_skipping: WorkflowEnvironment, queue: Queue) -> None:
    queue.refuse_word = Unavailable.type
    queue.resolve("keep_ours", word=True)
    case = await start(time_skipping)
    await time_skipping.sleep(HOUR)
    assert queue.sent > 3
    queue.refuse_word = None
    assert await case.result() == "keep_ours"
    assert (queue.word, queue.given_up) == ("delivered", [])


@pytest.mark.parametrize(
    ("problem", "tries"), [pytest.param(Conflict.type, 1, id="refused"), (Unavailable.type, 100)]
)
async def test_word_that_never_arrives_is_given_up_and_said_so(
    time_skipping: WorkflowEnvironment, queue: Queue, problem: str, tries: int
) -> None:
    queue.refuse_word = problem
    queue.resolve("keep_ours", word=True)
    case = await start(time_skipping)
    assert await case.result() == "keep_ours"
    assert queue.word == "failed"
    assert queue.given_up == ["the partner is away"]
    assert queue.sent == 1 if tries == 1 else queue.sent > tries


async def test_a_step_that_fails_is_tried_again(time_skipping: WorkflowEnvironment, queue: Queue) -> None:
    queue.fail_with = Conflict.type
    case = await start(time_skipping)
    await time_skipping.sleep(3 * PAUSE + HOUR / 60)
    assert len(queue.looks) == 4
    queue.fail_with = None
    queue.resolve("explain")
    assert await case.result() == "explain"


async def test_a_break_that_is_not_there_ends_its_case(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    queue.fail_with = NotFound.type
    case = await start(time_skipping)
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == NotFound.type


async def test_a_case_can_be_cancelled(time_skipping: WorkflowEnvironment, queue: Queue) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(HOUR)
    await case.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(case.result(), 60)
    assert is_cancelled_exception(failed.value.cause)


async def test_it_is_described_for_people(time_skipping: WorkflowEnvironment, queue: Queue) -> None:
    case = await start(time_skipping)
    await time_skipping.sleep(HOUR)
    told = await case.query(BreakCase.describe)
    assert [(step.what, step.at) for step in told.next] == [("escalation", queue.due)]
    assert told.state == "open"
    await time_skipping.sleep(SLA)
    assert (await case.query(BreakCase.describe)).next == []


async def test_a_case_that_is_told_very_often_goes_on_in_another_run(
    time_skipping: WorkflowEnvironment, queue: Queue
) -> None:
    case = await start(time_skipping)
    first = (await case.describe()).run_id
    for _ in range(0, ENOUGH_EVENTS, 200):
        await asyncio.gather(*(case.signal(BreakCase.changed) for _ in range(200)))
    await time_skipping.sleep(SLA + HOUR)
    assert queue.escalated_at is not None
    latest = time_skipping.client.get_workflow_handle(case.id)
    assert (await latest.describe()).run_id != first
    queue.resolve("explain")
    await latest.signal(BreakCase.changed)
    assert await latest.result() == "explain"
