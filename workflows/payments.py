"""Payments: asked for at the provider once, followed until they have ended, put on the books."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from activities.payment_books import PaymentBooks
from activities.payment_messages import IntentFacts, PaymentFailure, PaymentRef, PaymentView
from activities.payments import PaymentActivities
from domain.payments import UNFINISHED, PaymentStatus
from workflows import policies, queues
from workflows.payment_following import FirstAnswer, Following
from workflows.payment_messages import PaymentProcessInput, PaymentWay

ACTION_PATIENCE = timedelta(days=3)
"""How long a debtor may take to answer their bank before the payment is given up."""


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
        self._books_at_once = request.books_at_once
        self._answer = FirstAnswer()
        self._following = Following()
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
        # Not a ``finally``: a run that is thrown out of the cache must not wait for anything.
        except (Exception, asyncio.CancelledError):
            await self._answer.leave()
            raise
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
            return await self._book(PaymentBooks.record_received, self._ref)
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
            return await self._book(PaymentBooks.record_failure, said)
        return await self._book(PaymentBooks.record_intent, self._ref, said)

    async def _book(self, step: Callable[..., Awaitable[PaymentView]], *given: Any) -> PaymentView:
        """Write something down: within the workflow's own task, or, where that does not work at once, by way
        of the queue and for as long as it takes."""
        if self._books_at_once:
            try:
                return await workflow.execute_local_activity_method(
                    step, args=given, **policies.DB_WRITE_AT_ONCE
                )
            except FailureError as error:
                # Bare, unlike what fails by way of the queue: a timeout, or the activity's own words.
                if is_cancelled_exception(error):
                    raise
        return await workflow.execute_activity_method(
            step, args=given, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
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
