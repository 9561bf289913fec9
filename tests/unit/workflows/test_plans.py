"""A plan's workflow on a clock that skips: it follows what its steps say, and outlives what fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment
from temporalio.workflow import ParentClosePolicy

from activities.plan_messages import (
    KeptMethod,
    PaymentUnderWay,
    PlanRef,
    PlanStanding,
    RefusedMethod,
)
from domain.errors import Conflict, NotFound
from tests.unit.workflows.fake_payment import FakePayment
from workflows import queues
from workflows.payment_messages import PaymentProcessInput
from workflows.plan_messages import PlanInput
from workflows.plans import LOOK_AFTER_PAYMENT, PAUSE, PaymentPlan

AGENCY, PLAN, PAYMENT = UUID(int=1), UUID(int=2), UUID(int=3)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
KEY = "plan/2/1/1"
ENOUGH_EVENTS = 4200
"""After which Temporal suggests another run."""


class Books:
    """One plan of weekly instalments in memory; ``looks`` are the moments at which it was looked at."""

    def __init__(self, clock: WorkflowEnvironment, instalments: int = 3) -> None:
        self._clock = clock
        self.instalments = instalments
        self.paid = 0
        self.under_way = False
        self.paused = False
        self.status = "active"
        self.needs_method = False
        self.refuse: str | None = None
        self.fail_with: str | None = None
        self.holding = asyncio.Event()
        self.held: asyncio.Event | None = None
        self.looks: list[datetime] = []
        self.asked: list[datetime] = []
        self.next_at = datetime.min.replace(tzinfo=UTC)

    @activity.defn(name="plans.advance")
    async def advance(self, ref: PlanRef) -> PlanStanding:
        now = await self._clock.get_current_time()
        self.looks.append(now)
        if self.held is not None:
            self.holding.set()
            await self.held.wait()
        if self.fail_with is not None:
            raise ApplicationError("not now", type=self.fail_with, non_retryable=True)
        if self.paid == self.instalments:
            self.status = "completed"
        going_on = self.status == "active" and not (self.paused or self.needs_method or self.under_way)
        if going_on and now >= self.next_at:
            self.under_way = True
            self.asked.append(now)
        waits = not self.under_way and not self.paused and self.status == "active"
        return PlanStanding(
            status="paused" if self.paused else self.status,
            of=self.instalments,
            number=self.paid + 1,
            payment=PaymentUnderWay(payment_id=PAYMENT, key=f"{KEY}/{self.paid}") if self.under_way else None,
            look_at=self.next_at if waits else None,
            needs_method=self.needs_method,
        )

    @activity.defn(name="till.paid")
    async def pay(self) -> None:
        self.under_way = False
        self.paid += 1
        self.next_at = self.asked[-1] + WEEK

    @activity.defn(name="plans.keep_method")
    async def keep_method(self, ref: PlanRef) -> KeptMethod | RefusedMethod:
        if self.refuse is not None:
            return RefusedMethod(agency_id=AGENCY, plan_id=PLAN, reason=self.refuse)
        return KeptMethod(
            agency_id=AGENCY, plan_id=PLAN, customer_ref="cus", payment_method="pm", method="card"
        )

    @activity.defn(name="plans.record_method")
    async def record_method(self, kept: KeptMethod) -> PlanStanding:
        self.needs_method = False
        return await self.advance(PlanRef(agency_id=AGENCY, plan_id=PLAN))

    @activity.defn(name="plans.refuse_method")
    async def refuse_method(self, refused: RefusedMethod) -> PlanStanding:
        self.needs_method, self.status = False, "cancelled"
        return await self.advance(PlanRef(agency_id=AGENCY, plan_id=PLAN))


@pytest.fixture
async def books(time_skipping: WorkflowEnvironment, serving: Any) -> AsyncIterator[Books]:
    made = Books(time_skipping)
    made.next_at = await time_skipping.get_current_time() + WEEK
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(made, workflows=[PaymentPlan, FakePayment]))
        yield made


async def start(clock: WorkflowEnvironment) -> WorkflowHandle[Any, Any]:
    return await clock.client.start_workflow(
        PaymentPlan.run,
        PlanInput(agency_id=AGENCY, plan_id=PLAN),
        id=queues.plan_workflow_id(PLAN),
        task_queue=queues.LIFECYCLE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


async def test_each_instalment_is_a_timer_and_a_payment(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    plan = await start(time_skipping)
    assert await plan.result() == "completed"
    assert len(books.asked) == 3
    for before, after in zip(books.asked, books.asked[1:], strict=False):
        assert WEEK <= after - before < WEEK + HOUR
    assert len(books.looks) <= 2 + 2 * 3, "nobody looks without need"
    for number in range(3):
        child = queues.payment_workflow_id(AGENCY, "plan", f"{KEY}/{number}")
        assert (await time_skipping.client.get_workflow_handle(child).describe()).status is not None


async def test_a_pause_is_waited_out_without_a_timer(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    books.paused = True
    plan = await start(time_skipping)
    await time_skipping.sleep(400 * timedelta(days=1))
    assert len(books.looks) == 1
    books.paused = False
    await plan.signal(PaymentPlan.changed)
    assert await plan.result() == "completed"


async def test_a_payment_that_somebody_else_has_started_is_waited_for(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    """As a sweep does, when the plan's worker was away."""
    books.under_way, books.asked = True, [await time_skipping.get_current_time()]
    await time_skipping.client.start_workflow(
        "PaymentProcess",
        PaymentProcessInput(agency_id=AGENCY, payment_id=PAYMENT),
        id=queues.payment_workflow_id(AGENCY, "plan", f"{KEY}/0"),
        task_queue=queues.LIFECYCLE,
    )
    plan = await start(time_skipping)
    await time_skipping.sleep(timedelta(days=2) + LOOK_AFTER_PAYMENT + HOUR)
    assert books.paid == 1, "nobody has told it"
    assert await plan.result() == "completed"
    assert len(books.asked) == 3


async def test_cancelling_the_workflow_leaves_its_payment_alone(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    """As somebody may do in Temporal's own pages; what the provider was asked for goes on."""
    plan = await start(time_skipping)
    await time_skipping.sleep(WEEK + HOUR)
    child = queues.payment_workflow_id(AGENCY, "plan", f"{KEY}/0")
    payment = time_skipping.client.get_workflow_handle(child)
    await until_it_is_told(plan, EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
    await plan.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(plan.result(), 60)
    assert is_cancelled_exception(failed.value.cause)
    # Not that it comes to its end: this server's clock may stand still once a run was cancelled.
    assert (await payment.describe()).status in (
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.COMPLETED,
    )
    assert not await events_of(payment, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    [asked] = await events_of(plan, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    policy = asked.start_child_workflow_execution_initiated_event_attributes.parent_close_policy
    assert policy == ParentClosePolicy.ABANDON


async def until_it_is_told(workflow: WorkflowHandle[Any, Any], what: EventType.ValueType) -> None:
    async with asyncio.timeout(60):
        while not await events_of(workflow, what):
            await asyncio.sleep(0.02)


async def events_of(workflow: WorkflowHandle[Any, Any], what: EventType.ValueType) -> list[HistoryEvent]:
    return [event async for event in workflow.fetch_history_events() if event.event_type == what]


async def test_cancelling_the_workflow_ends_it_within_a_step(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    books.held = asyncio.Event()
    plan = await start(time_skipping)
    await asyncio.wait_for(books.holding.wait(), 60)
    await plan.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(plan.result(), 60)
    books.held.set()
    assert is_cancelled_exception(failed.value.cause)


async def test_a_step_that_fails_is_tried_again_until_it_succeeds(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    books.fail_with = Conflict.type
    plan = await start(time_skipping)
    await time_skipping.sleep(3 * PAUSE + HOUR / 60)
    assert len(books.looks) == 4
    books.fail_with = None
    assert await plan.result() == "completed"


async def test_a_plan_that_is_not_there_ends_its_workflow(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    books.fail_with = NotFound.type
    plan = await start(time_skipping)
    with pytest.raises(WorkflowFailureError) as failed:
        await plan.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == NotFound.type


async def test_who_waits_for_the_method_of_a_plan_that_is_not_there_is_told_so(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    books.fail_with, books.held = NotFound.type, asyncio.Event()
    plan = await start(time_skipping)
    waiting = await plan.start_update(PaymentPlan.ready, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    books.held.set()
    for ends in (waiting.result(), plan.result()):
        with pytest.raises((WorkflowUpdateFailedError, WorkflowFailureError)) as failed:
            await asyncio.wait_for(ends, 20)
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == NotFound.type


@pytest.mark.parametrize(("refuse", "status"), [(None, "active"), ("no such card", "cancelled")])
async def test_who_waits_for_the_method_is_answered_when_it_is_kept_or_refused(
    time_skipping: WorkflowEnvironment, books: Books, refuse: str | None, status: str
) -> None:
    books.needs_method, books.refuse = True, refuse
    plan = await start(time_skipping)
    standing = await plan.execute_update(PaymentPlan.ready)
    assert (standing.status, standing.needs_method) == (status, False)
    assert await plan.result() == ("completed" if refuse is None else "cancelled")


async def test_it_is_described_for_people(time_skipping: WorkflowEnvironment, books: Books) -> None:
    plan = await start(time_skipping)
    await plan.execute_update(PaymentPlan.ready)
    told = await plan.query(PaymentPlan.describe)
    assert told.state == "active"
    assert [(step.what, step.at) for step in told.next] == [("instalment 1 of 3", books.next_at)]


async def test_a_plan_that_is_told_very_often_goes_on_in_another_run(
    time_skipping: WorkflowEnvironment, books: Books
) -> None:
    plan = await start(time_skipping)
    first = (await plan.describe()).run_id
    for _ in range(0, ENOUGH_EVENTS, 200):
        await asyncio.gather(*(plan.signal(PaymentPlan.changed) for _ in range(200)))
    await time_skipping.sleep(5 * WEEK)
    latest = await time_skipping.client.get_workflow_handle(plan.id).describe()
    assert latest.run_id != first
    assert latest.status is WorkflowExecutionStatus.COMPLETED
    assert len(books.asked) == 3
