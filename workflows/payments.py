"""Payments and refunds: asked for at the provider once, followed until they have ended, put on the books."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.payment_books import PaymentBooks
from activities.payment_messages import (
    IntentFacts,
    PaymentFailure,
    PaymentRef,
    PaymentView,
    RefundFacts,
    RefundFailure,
    RefundRef,
)
from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from domain.payments import UNFINISHED, PaymentStatus
from workflows import policies, queues
from workflows.payment_messages import PaymentProcessInput, PaymentWay, RefundProcessInput

FIRST_LOOK = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
"""How long the provider is not asked about what has not ended: from the first to the second, twice as long
each time. What it tells by itself is heard at once."""

ACTION_PATIENCE = timedelta(days=3)
"""How long a debtor may take to answer their bank before the payment is given up."""

REFUND_ENDS = frozenset({"succeeded", "failed", "canceled"})


class _Following:
    """Waits for the provider's word on something: a signal, or the time to look."""

    def __init__(self) -> None:
        self._spoken = False
        self._pause = FIRST_LOOK

    def hear(self) -> None:
        self._spoken = True

    async def wait(self, until: datetime | None = None) -> None:
        """Until something was said or it is time to look; no longer than ``until``."""
        pause = self._pause
        if until is not None:
            pause = max(min(pause, until - workflow.now()), timedelta(seconds=1))
        try:
            await workflow.wait_condition(lambda: self._spoken, timeout=pause)
        except TimeoutError:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._spoken = False


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class PaymentProcess:
    """One payment, from the row that asks for it to its end: on the ledger, or failed.

    The money is asked for in steps of which each can be repeated: an intent is made, its id stored, the
    intent confirmed, and what Stripe says of it recorded. A bank debit takes days; a debtor may have to act.
    """

    @workflow.init
    def __init__(self, request: PaymentProcessInput) -> None:
        self._ref = PaymentRef(agency_id=request.agency_id, payment_id=request.payment_id)
        self._way = request.way
        self._view: PaymentView | None = None
        self._following = _Following()
        self._give_up_at: datetime | None = None

    @workflow.run
    async def run(self, request: PaymentProcessInput) -> PaymentView:
        """Returns where the payment stands at its end."""
        view = self._know(await self._begin())
        while view.status in UNFINISHED:
            await self._following.wait(self._patience(view))
            view = self._know(await self._go_on(view))
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(request)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return view

    @workflow.signal
    def provider_spoke(self) -> None:
        """The provider has told something of this payment."""
        self._following.hear()

    @workflow.update
    async def first_answer(self) -> PaymentView:
        """Where the payment stands as soon as the first is known of it."""
        while (view := self._view) is None:
            await workflow.wait_condition(lambda: self._view is not None)
        return view

    async def _begin(self) -> PaymentView:
        if self._way is PaymentWay.HAND:
            return await workflow.execute_activity_method(
                PaymentBooks.record_received, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        if self._way is PaymentWay.LINK:
            opened = await workflow.execute_activity_method(
                PaymentActivities.open_link, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
            )
            return opened if isinstance(opened, PaymentView) else await self._record(opened)
        return await self._charge()

    async def _charge(self) -> PaymentView:
        said = await workflow.execute_activity_method(
            PaymentActivities.create_intent, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
        )
        if isinstance(said, IntentFacts) and said.status == "requires_confirmation":
            said = await workflow.execute_activity_method(
                PaymentActivities.confirm, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
            )
        return await self._record(said)

    async def _go_on(self, view: PaymentView) -> PaymentView:
        """Look what has become of the payment; give up what nobody has acted on in time."""
        if view.status is PaymentStatus.PENDING and self._way is PaymentWay.PROVIDER:
            return await self._charge()
        too_late = self._give_up_at is not None and workflow.now() >= self._give_up_at
        said = await workflow.execute_activity_method(
            PaymentActivities.give_up if too_late else PaymentActivities.look_up,
            self._ref,
            task_queue=queues.MONEY,
            **policies.STRIPE_CALL,
        )
        return view if said is None else await self._record(said)

    async def _record(self, said: IntentFacts | PaymentFailure) -> PaymentView:
        if isinstance(said, PaymentFailure):
            return await workflow.execute_activity_method(
                PaymentBooks.record_failure, said, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        return await workflow.execute_activity_method(
            PaymentBooks.record_intent,
            args=[self._ref, said],
            task_queue=queues.LIFECYCLE,
            **policies.DB_WRITE,
        )

    def _patience(self, view: PaymentView) -> datetime | None:
        """Until when the debtor may act, where they are who is waited for."""
        if view.status is not PaymentStatus.REQUIRES_ACTION:
            self._give_up_at = None
        elif self._give_up_at is None:
            self._give_up_at = view.action_until or workflow.now() + ACTION_PATIENCE
        return self._give_up_at

    def _know(self, view: PaymentView) -> PaymentView:
        self._view = view
        workflow.set_current_details(view.status.value.replace("_", " "))
        return view


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class RefundProcess:
    """One refund, from the row that asks for it to its end: paid out and off the ledger, or failed."""

    @workflow.init
    def __init__(self, request: RefundProcessInput) -> None:
        self._ref = RefundRef(
            agency_id=request.agency_id, payment_id=request.payment_id, refund_id=request.refund_id
        )
        self._view: PaymentView | None = None
        self._following = _Following()

    @workflow.run
    async def run(self, request: RefundProcessInput) -> PaymentView:
        """Returns where the refund's payment then stands."""
        if request.by_provider:
            view = await self._follow(request)
        else:
            view = self._view = await workflow.execute_activity_method(
                PaymentBooks.record_paid_back, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        await workflow.wait_condition(workflow.all_handlers_finished)
        return view

    @workflow.signal
    def provider_spoke(self) -> None:
        """The provider has told something of this refund."""
        self._following.hear()

    @workflow.update
    async def first_answer(self) -> PaymentView:
        """Where the payment stands as soon as the first is known of the refund."""
        while (view := self._view) is None:
            await workflow.wait_condition(lambda: self._view is not None)
        return view

    async def _follow(self, request: RefundProcessInput) -> PaymentView:
        said = await workflow.execute_activity_method(
            RefundActivities.refund, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
        )
        view = self._view = await self._record(said)
        while isinstance(said, RefundFacts) and said.status not in REFUND_ENDS:
            workflow.set_current_details("the bank has it")
            await self._following.wait()
            said = await workflow.execute_activity_method(
                RefundActivities.look_up_refund, self._ref, task_queue=queues.MONEY, **policies.STRIPE_CALL
            )
            view = self._view = await self._record(said)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(request)
        return view

    async def _record(self, said: RefundFacts | RefundFailure) -> PaymentView:
        if isinstance(said, RefundFailure):
            return await workflow.execute_activity_method(
                PaymentBooks.record_refund_failure, said, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        ref = PaymentRef(agency_id=self._ref.agency_id, payment_id=self._ref.payment_id)
        return await workflow.execute_activity_method(
            PaymentBooks.record_refund, args=[ref, said], task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )
