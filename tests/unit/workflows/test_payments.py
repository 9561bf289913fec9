"""Payments and refunds on a clock that skips: what is waited for, how long, and what ends it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.payment_messages import (
    IntentFacts,
    PaymentFailure,
    PaymentRef,
    PaymentView,
    RefundFacts,
    RefundFailure,
    RefundRef,
)
from domain.payments import UNFINISHED, PaymentStatus, status_of_intent
from workflows import queues
from workflows.payment_following import LONGEST_PAUSE
from workflows.payment_messages import PaymentProcessInput, PaymentWay, RefundProcessInput
from workflows.payments import ACTION_PATIENCE, PaymentProcess
from workflows.refunds import RefundProcess

AGENCY, PAYMENT, REFUND = UUID(int=1), UUID(int=2), UUID(int=3)
REF = PaymentRef(agency_id=AGENCY, payment_id=PAYMENT)
HOUR = timedelta(hours=1)
S = PaymentStatus


class Provider:
    """Stripe and the books from memory: ``intent`` is where the intent stands, ``asked`` what was called."""

    def __init__(self, confirmed: str = "succeeded") -> None:
        self.intent: str | None = None
        self.confirmed = confirmed
        self.failure: str | None = None
        self.asked: list[str] = []
        self.down_until: datetime | None = None
        self.page = "open"
        self.now: Any = None
        self.refund_status = "succeeded"
        self.action_until: datetime | None = None
        self.recorded_at = datetime.min.replace(tzinfo=UTC)
        self.refuses: dict[str, str] = {}
        self.books_locked = False
        self.recorded_locally: list[bool] = []

    async def _call(self, name: str) -> None:
        self.asked.append(name)
        if self.down_until and await self.now() < self.down_until:
            raise ApplicationError("Stripe cannot be reached", type="stripe-outage")
        self._refuse(name)

    def _refuse(self, name: str) -> None:
        """Fail a step that ``refuses`` names, in a way that trying at once does not mend."""
        if name in self.refuses:
            raise ApplicationError("not like this", type=self.refuses[name], non_retryable=True)

    def _book(self) -> None:
        """Write something down; while the books are locked, only who waits at the queue gets at them."""
        self.recorded_locally.append(activity.info().is_local)
        self._refuse("record")
        if self.books_locked and activity.info().is_local:
            raise ApplicationError("the account is locked", type="unavailable")

    def _facts(self) -> IntentFacts:
        return IntentFacts(
            intent_ref="pi_1",
            status=self.intent or "requires_confirmation",
            amount_received=Decimal(0),
            currency="USD",
            created=datetime(2026, 1, 1, tzinfo=UTC),
            failure_code=self.failure,
        )

    @activity.defn(name="payments.create_intent")
    async def create_intent(self, ref: PaymentRef) -> IntentFacts | PaymentFailure:
        await self._call("create")
        return self._facts()

    @activity.defn(name="payments.confirm")
    async def confirm(self, ref: PaymentRef) -> IntentFacts | PaymentFailure:
        await self._call("confirm")
        self.intent = self.confirmed
        return self._facts()

    @activity.defn(name="payments.look_up")
    async def look_up(self, ref: PaymentRef) -> IntentFacts | PaymentFailure | None:
        await self._call("look up")
        return None if self.page == "open" and self.intent is None else self._facts()

    @activity.defn(name="payments.give_up")
    async def give_up(self, ref: PaymentRef) -> IntentFacts | PaymentFailure | None:
        await self._call("give up")
        self.intent, self.failure = "canceled", "action_expired"
        return self._facts()

    @activity.defn(name="payments.open_link")
    async def open_link(self, ref: PaymentRef) -> PaymentView | PaymentFailure:
        await self._call("open link")
        return self._view(S.REQUIRES_ACTION)

    @activity.defn(name="ledger.record_intent")
    async def record_intent(self, ref: PaymentRef, facts: IntentFacts) -> PaymentView:
        self.asked.append(f"record {facts.status}")
        self.recorded_at = await self.now()
        self._book()
        attempted = facts.failure_code is not None
        return self._view(status_of_intent(facts.status, attempted=attempted), facts.failure_code)

    @activity.defn(name="ledger.record_failure")
    async def record_failure(self, failure: PaymentFailure) -> PaymentView:
        self.asked.append(f"record {failure.code}")
        self._book()
        return self._view(S.FAILED, failure.code)

    @activity.defn(name="ledger.record_received")
    async def record_received(self, ref: PaymentRef) -> PaymentView:
        self.asked.append("record received")
        self._book()
        return self._view(S.SUCCEEDED)

    @activity.defn(name="refunds.refund")
    async def refund(self, ref: RefundRef) -> RefundFacts | RefundFailure:
        await self._call("refund")
        return self._refund()

    @activity.defn(name="refunds.look_up")
    async def look_up_refund(self, ref: RefundRef) -> RefundFacts | RefundFailure:
        await self._call("look up")
        return self._refund()

    @activity.defn(name="ledger.record_refund")
    async def record_refund(self, ref: PaymentRef, facts: RefundFacts) -> PaymentView:
        self.asked.append(f"record {facts.status}")
        self._refuse("record")
        return self._view(S.REFUNDED if facts.status == "succeeded" else S.SUCCEEDED)

    @activity.defn(name="ledger.record_paid_back")
    async def record_paid_back(self, ref: RefundRef) -> PaymentView:
        self.asked.append("record paid back")
        self._refuse("record")
        return self._view(S.REFUNDED)

    def _refund(self) -> RefundFacts:
        return RefundFacts(
            refund_ref="re_1",
            status=self.refund_status,
            amount=Decimal(1),
            currency="USD",
            created=datetime(2026, 1, 1, tzinfo=UTC),
            refund_id=REFUND,
        )

    def _view(self, status: PaymentStatus, code: str | None = None) -> PaymentView:
        return PaymentView(
            payment_id=PAYMENT,
            account_id=UUID(int=4),
            status=status,
            by_provider=True,
            failure_code=code,
            action_until=self.action_until,
        )


@pytest.fixture
def provider(time_skipping: WorkflowEnvironment) -> Provider:
    made = Provider()
    made.now = time_skipping.get_current_time
    return made


async def begin(
    env: WorkflowEnvironment,
    way: PaymentWay = PaymentWay.PROVIDER,
    *,
    give_up_at: datetime | None = None,
    books_at_once: bool = True,
) -> WorkflowHandle[Any, PaymentView]:
    return await env.client.start_workflow(
        PaymentProcess.run,
        PaymentProcessInput(
            agency_id=AGENCY,
            payment_id=PAYMENT,
            way=way,
            give_up_at=give_up_at,
            books_at_once=books_at_once,
        ),
        id=queues.payment_workflow_id(AGENCY, "request", "key"),
        task_queue=queues.LIFECYCLE,
    )


async def begin_refund(
    env: WorkflowEnvironment, *, by_provider: bool = True
) -> WorkflowHandle[Any, PaymentView]:
    return await env.client.start_workflow(
        RefundProcess.run,
        RefundProcessInput(agency_id=AGENCY, payment_id=PAYMENT, refund_id=REFUND, by_provider=by_provider),
        id=queues.refund_workflow_id(REFUND),
        task_queue=queues.LIFECYCLE,
    )


async def test_an_hour_without_stripe_is_outlasted(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    began = await time_skipping.get_current_time()
    provider.down_until = began + HOUR
    async with serving(provider):
        view = await (await begin(time_skipping)).result()
    took = provider.recorded_at - began
    assert view.status is S.SUCCEEDED
    assert HOUR <= took < HOUR + timedelta(minutes=3)
    assert len(provider.asked) < 60, "it is asked with pauses"
    assert provider.asked[-3:] == ["create", "confirm", "record succeeded"]
    assert provider.asked.count("confirm") == 1


async def test_a_debit_that_takes_days_is_looked_up_now_and_then(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.confirmed = "processing"
    async with serving(provider):
        process = await begin(time_skipping)
        assert (await process.execute_update(PaymentProcess.first_answer)).status is S.PROCESSING
        await time_skipping.sleep(timedelta(days=6))
        looks = provider.asked.count("look up")
        provider.intent = "succeeded"
        await time_skipping.sleep(LONGEST_PAUSE + HOUR)
        view = await process.result()
    assert view.status is S.SUCCEEDED
    assert 24 < looks < 40
    assert provider.asked.count("confirm") == 1


async def test_what_the_provider_says_is_heard_at_once(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.confirmed = "processing"
    async with serving(provider):
        process = await begin(time_skipping)
        await time_skipping.sleep(timedelta(days=1))
        provider.intent, provider.failure = "requires_payment_method", "account_closed"
        before = await time_skipping.get_current_time()
        await process.signal(PaymentProcess.provider_spoke)
        view = await process.result()
    assert (view.status, view.failure_code) == (S.FAILED, "account_closed")
    assert provider.recorded_at - before < timedelta(minutes=1)


async def test_a_debtor_who_never_answers_their_bank_is_given_up_after_three_days(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.confirmed = "requires_action"
    began = await time_skipping.get_current_time()
    async with serving(provider):
        process = await begin(time_skipping)
        await time_skipping.sleep(ACTION_PATIENCE - HOUR)
        assert "give up" not in provider.asked
        view = await process.result()
    assert (view.status, view.failure_code) == (S.FAILED, "action_expired")
    assert provider.asked.count("give up") == 1
    assert provider.recorded_at - began >= ACTION_PATIENCE


async def test_a_debtor_who_answers_late_still_pays(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.confirmed = "requires_action"
    async with serving(provider):
        process = await begin(time_skipping)
        await time_skipping.sleep(timedelta(days=2))
        provider.intent = "processing"
        await time_skipping.sleep(timedelta(days=4))
        provider.intent = "succeeded"
        view = await process.result()
    assert view.status is S.SUCCEEDED
    assert "give up" not in provider.asked


async def test_a_link_is_open_as_long_as_its_page(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.action_until = await time_skipping.get_current_time() + timedelta(days=1)
    async with serving(provider):
        process = await begin(time_skipping, PaymentWay.LINK)
        assert (await process.execute_update(PaymentProcess.first_answer)).status in UNFINISHED
        await time_skipping.sleep(23 * HOUR)
        assert "give up" not in provider.asked
        view = await process.result()
    assert view.status is S.FAILED
    assert provider.asked[0] == "open link"
    assert provider.asked[-2:] == ["give up", "record canceled"]


async def test_what_is_handed_in_asks_nobody(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    async with serving(provider):
        view = await (await begin(time_skipping, PaymentWay.HAND)).result()
    assert (view.status, provider.asked) == (S.SUCCEEDED, ["record received"])


@pytest.mark.parametrize("way", [PaymentWay.PROVIDER, PaymentWay.HAND])
@pytest.mark.parametrize(
    ("at_once", "locked", "tries"),
    [
        pytest.param(True, False, [True], id="within the task of the workflow"),
        pytest.param(True, True, [True, False], id="by way of the queue where that does not work at once"),
        pytest.param(False, False, [False], id="as ever in a process from before"),
    ],
)
async def test_the_books_are_written(
    time_skipping: WorkflowEnvironment,
    serving: Any,
    provider: Provider,
    way: PaymentWay,
    at_once: bool,
    locked: bool,
    tries: list[bool],
) -> None:
    provider.books_locked = locked
    async with serving(provider):
        view = await (await begin(time_skipping, way, books_at_once=at_once)).result()
    assert view.status is S.SUCCEEDED
    assert provider.recorded_locally == tries


async def test_a_payment_that_is_not_on_the_books_ends_its_process(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.refuses = {"record": "not-found"}
    async with serving(provider):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await begin(time_skipping)).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "not-found"
    assert provider.recorded_locally == [True, False]


async def test_a_refund_that_takes_days_is_followed(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.refund_status = "pending"
    async with serving(provider):
        process = await begin_refund(time_skipping)
        await time_skipping.sleep(timedelta(days=4))
        provider.refund_status = "succeeded"
        await process.signal(RefundProcess.provider_spoke)
        view = await process.result()
    assert view.status is S.REFUNDED
    assert provider.asked.count("refund") == 1
    assert provider.asked[-1] == "record succeeded"


async def test_a_refund_by_hand_asks_nobody(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    async with serving(provider):
        view = await (await begin_refund(time_skipping, by_provider=False)).result()
    assert (view.status, provider.asked) == (S.REFUNDED, ["record paid back"])


@pytest.mark.parametrize("step", ["create", "confirm", "record"])
async def test_a_step_that_is_refused_leaves_a_payment_in_trouble_and_not_dead(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider, step: str
) -> None:
    provider.refuses = {step: "currency-differs"}
    async with serving(provider):
        process = await begin(time_skipping)
        await time_skipping.sleep(timedelta(days=3))
        by_queue = provider.recorded_locally.count(False)
        tries = by_queue or len([one for one in provider.asked if one.startswith(step)])
        provider.refuses = {}
        view = await process.result()
    assert view.status is S.SUCCEEDED
    assert 10 < tries < 30, "it is tried with pauses"


async def test_what_cannot_be_given_up_in_time_is_not_asked_for_every_second_from_then_on(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    """As where another Stripe account was set up while the debtor had yet to answer their bank."""
    provider.confirmed = "requires_action"
    provider.refuses = {"look up": "stripe-account-replaced", "give up": "stripe-account-replaced"}
    async with serving(provider):
        process = await begin(time_skipping)
        await time_skipping.sleep(ACTION_PATIENCE + timedelta(minutes=5))
        assert provider.asked.count("give up") == 1, "at once when their time is over"
        await time_skipping.sleep(timedelta(days=3))
        tries = provider.asked.count("give up")
        provider.refuses = {}
        view = await process.result()
    assert (view.status, view.failure_code) == (S.FAILED, "action_expired")
    assert 10 < tries < 15, "it is tried with the longest pauses"


@pytest.mark.parametrize("way", [PaymentWay.HAND, PaymentWay.LINK])
async def test_other_ways_to_pay_outlast_trouble_as_well(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider, way: PaymentWay
) -> None:
    provider.refuses = {"record": "conflict", "open link": "conflict"}
    async with serving(provider):
        process = await begin(time_skipping, way)
        asked = await process.start_update(
            PaymentProcess.first_answer, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        await time_skipping.sleep(HOUR)
        provider.refuses = {}
        await time_skipping.sleep(2 * HOUR)
        view = await asked.result()
    assert view.status is (S.SUCCEEDED if way is PaymentWay.HAND else S.REQUIRES_ACTION)


async def test_trouble_while_a_payment_is_looked_up_is_outlasted(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.confirmed = "processing"
    async with serving(provider):
        process = await begin(time_skipping)
        await process.execute_update(PaymentProcess.first_answer)
        provider.refuses, provider.intent = {"look up": "stripe-account-replaced"}, "succeeded"
        await time_skipping.sleep(timedelta(days=10))
        looks = provider.asked.count("look up")
        told = await process.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        provider.refuses = {}
        view = await process.result()
    assert view.status is S.SUCCEEDED
    assert told.current_details.startswith("in trouble: stripe-account-replaced; tried again after 6:00")
    assert 30 < looks < 60, "every six hours in the end"


async def test_a_payment_that_is_not_there_ends_its_process_and_leaves_nobody_waiting(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    provider.down_until = await time_skipping.get_current_time() + HOUR
    provider.refuses = {"create": "not-found"}
    async with serving(provider):
        process = await begin(time_skipping)
        asked = await process.start_update(
            PaymentProcess.first_answer, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        with pytest.raises(WorkflowFailureError) as failure:
            await process.result()
        with pytest.raises(WorkflowUpdateFailedError):
            await asked.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "not-found"


@pytest.mark.parametrize(("step", "by_provider"), [("refund", True), ("record", True), ("record", False)])
async def test_a_step_that_is_refused_leaves_a_refund_in_trouble_and_not_dead(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider, step: str, by_provider: bool
) -> None:
    provider.refuses = {step: "conflict"}
    async with serving(provider):
        process = await begin_refund(time_skipping, by_provider=by_provider)
        await time_skipping.sleep(timedelta(days=3))
        tries = len([one for one in provider.asked if one.startswith(step)])
        provider.refuses = {}
        view = await process.result()
    assert view.status is S.REFUNDED
    assert 10 < tries < 30, "it is tried with pauses"


async def test_another_run_gives_up_when_the_first_would_have(
    time_skipping: WorkflowEnvironment, serving: Any, provider: Provider
) -> None:
    """As after a run that was continued: the debtor's time does not begin anew."""
    provider.confirmed = "requires_action"
    began = await time_skipping.get_current_time()
    async with serving(provider):
        process = await begin(time_skipping, give_up_at=began + HOUR)
        view = await process.result()
    assert (view.status, view.failure_code) == (S.FAILED, "action_expired")
    assert provider.recorded_at - began < 2 * HOUR


@pytest.mark.parametrize("origin", ["request", "plan", "link"])
def test_no_two_keys_share_a_process(origin: str) -> None:
    ids = {
        queues.payment_workflow_id(AGENCY, "request", f"{origin}/x"),
        queues.payment_workflow_id(AGENCY, "request", "x"),
        queues.payment_workflow_id(AGENCY, "plan", "x"),
        queues.payment_workflow_id(AGENCY, "link", "x"),
        queues.payment_workflow_id(REFUND, "request", "x"),
    }
    assert len(ids) == 5
    assert all("x" not in made.rpartition("/")[2] for made in ids)
