"""Payments and refunds: asked for at the provider once, followed until they have ended, put on the books."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

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
from domain.errors import NotFound
from domain.payments import UNFINISHED, PaymentStatus
from workflows import policies, queues
from workflows.failures import DRAINING, cause_of
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

    def trouble(self, error: ActivityError) -> None:
        """A step failed in a way that trying at once does not mend: say so, and try after the pause.

        Raises where there is nothing to go on with: the row is not there, or the run is cancelled.
        """
        if is_cancelled_exception(error):
            raise error
        cause = cause_of(error)
        if cause.type == NotFound.type:
            raise ApplicationError(cause.message, type=NotFound.type) from None
        workflow.set_current_details(f"in trouble: {cause.type}; tried again after {self._pause}")


class _FirstAnswer:
    """What is first known of a payment, for those who wait for it."""

    def __init__(self) -> None:
        self.view: PaymentView | None = None
        self._over = False

    async def wait(self) -> PaymentView:
        """The view as soon as there is one. Fails when the run ends without."""
        await workflow.wait_condition(lambda: self.view is not None or self._over)
        if self.view is None:
            raise ApplicationError("this run ends without an answer; send it again", type=DRAINING)
        return self.view

    async def leave(self) -> None:
        """Answer all who wait: the run ends."""
        self._over = True
        await workflow.wait_condition(workflow.all_handlers_finished)


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class PaymentProcess:
    """One payment, from the row that asks for it to its end: on the ledger, or failed.

    The money is asked for in steps of which each can be repeated: an intent is made, its id stored, the
    intent confirmed, and what Stripe says of it recorded. A bank debit takes days; a debtor may have to act.
    A step that fails leaves the process in trouble, never dead, for what is under way keeps its part of the
    balance.
    """

    @workflow.init
    def __init__(self, request: PaymentProcessInput) -> None:
        self._ref = PaymentRef(agency_id=request.agency_id, payment_id=request.payment_id)
        self._way = request.way
        self._answer = _FirstAnswer()
        self._following = _Following()
        self._give_up_at = request.give_up_at

    @workflow.run
    async def run(self, request: PaymentProcessInput) -> PaymentView:
        """Returns where the payment stands at its end. ``NotFound`` when its row is not there."""
        try:
            view = await self._attempt(self._begin())
            while view is None or view.status in UNFINISHED:
                await self._following.wait(self._patience(view))
                view = await self._attempt(self._begin() if view is None else self._go_on(view))
                if workflow.info().is_continue_as_new_suggested():
                    await self._answer.leave()
                    workflow.continue_as_new(request.model_copy(update={"give_up_at": self._give_up_at}))
        finally:
            await self._answer.leave()
        return view

    @workflow.signal
    def provider_spoke(self) -> None:
        """The provider has told something of this payment."""
        self._following.hear()

    @workflow.update
    async def first_answer(self) -> PaymentView:
        """Where the payment stands as soon as the first is known of it."""
        return await self._answer.wait()

    async def _attempt(self, step: Awaitable[PaymentView]) -> PaymentView | None:
        """Know what a step answers; what is known already where it fails."""
        try:
            view = self._answer.view = await step
        except ActivityError as error:
            self._following.trouble(error)
            return self._answer.view
        workflow.set_current_details(view.status.value.replace("_", " "))
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

    def _patience(self, view: PaymentView | None) -> datetime | None:
        """Until when the debtor may act, where they are who is waited for."""
        if view is None:
            return None
        if view.status is not PaymentStatus.REQUIRES_ACTION:
            self._give_up_at = None
        elif self._give_up_at is None:
            self._give_up_at = view.action_until or workflow.now() + ACTION_PATIENCE
        return self._give_up_at


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class RefundProcess:
    """One refund, from the row that asks for it to its end: paid out and off the ledger, or failed."""

    @workflow.init
    def __init__(self, request: RefundProcessInput) -> None:
        self._ref = RefundRef(
            agency_id=request.agency_id, payment_id=request.payment_id, refund_id=request.refund_id
        )
        self._answer = _FirstAnswer()
        self._following = _Following()
        self._made = False

    @workflow.run
    async def run(self, request: RefundProcessInput) -> PaymentView:
        """Returns where the refund's payment then stands. ``NotFound`` when its row is not there."""
        step = self._see if request.by_provider else self._pay_by_hand
        try:
            while (view := await self._ended(step)) is None:
                await self._following.wait()
                if workflow.info().is_continue_as_new_suggested():
                    await self._answer.leave()
                    workflow.continue_as_new(request)
        finally:
            await self._answer.leave()
        return view

    @workflow.signal
    def provider_spoke(self) -> None:
        """The provider has told something of this refund."""
        self._following.hear()

    @workflow.update
    async def first_answer(self) -> PaymentView:
        """Where the payment stands as soon as the first is known of the refund."""
        return await self._answer.wait()

    async def _ended(self, step: Callable[[], Awaitable[bool]]) -> PaymentView | None:
        """Take a step; the payment where that was the last one."""
        try:
            return self._answer.view if await step() else None
        except ActivityError as error:
            self._following.trouble(error)
            return None

    async def _pay_by_hand(self) -> bool:
        self._answer.view = await workflow.execute_activity_method(
            PaymentBooks.record_paid_back, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )
        return True

    async def _see(self) -> bool:
        """Have the refund paid out, or look what has become of it; whether that is known for good."""
        said = await workflow.execute_activity_method(
            RefundActivities.look_up_refund if self._made else RefundActivities.refund,
            self._ref,
            task_queue=queues.MONEY,
            **policies.STRIPE_CALL,
        )
        self._answer.view = await self._record(said)
        self._made = True
        if isinstance(said, RefundFailure) or said.status in REFUND_ENDS:
            return True
        workflow.set_current_details("the bank has it")
        return False

    async def _record(self, said: RefundFacts | RefundFailure) -> PaymentView:
        if isinstance(said, RefundFailure):
            return await workflow.execute_activity_method(
                PaymentBooks.record_refund_failure, said, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        ref = PaymentRef(agency_id=self._ref.agency_id, payment_id=self._ref.payment_id)
        return await workflow.execute_activity_method(
            PaymentBooks.record_refund, args=[ref, said], task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )
