"""Refunds: asked for at the provider once, followed until they have ended, put on the books."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError

from activities.payment_books import PaymentBooks
from activities.payment_messages import PaymentRef, PaymentView, RefundFacts, RefundFailure, RefundRef
from activities.refunds import RefundActivities
from workflows import policies, queues
from workflows.payment_following import FirstAnswer, Following
from workflows.payment_messages import RefundProcessInput

REFUND_ENDS = frozenset({"succeeded", "failed", "canceled"})


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class RefundProcess:
    """One refund, from the row that asks for it to its end: paid out and off the ledger, or failed."""

    @workflow.init
    def __init__(self, request: RefundProcessInput) -> None:
        self._ref = RefundRef(
            agency_id=request.agency_id, payment_id=request.payment_id, refund_id=request.refund_id
        )
        self._answer = FirstAnswer()
        self._following = Following()
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
        # Not a ``finally``: a run that is thrown out of the cache must not wait for anything.
        except (Exception, asyncio.CancelledError):
            await self._answer.leave()
            raise
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
