"""The one way onto the ledger: what became of a payment at the provider, written down once.

Whoever learns something of a payment (its workflow, a webhook, the reconciliation) brings it here. Each
method is one transaction that compares what is said with what is known, so that the order in which it is
said, and how often, makes no difference.
"""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.account_change import AccountChange
from activities.payment_messages import (
    DisputeFacts,
    IntentFacts,
    PaymentFailure,
    PaymentRef,
    PaymentView,
    RefundFacts,
    RefundFailure,
    RefundRef,
)
from activities.payment_postings import PaymentChange
from domain.payments import BY_PROVIDER, TAKEN, UNFINISHED, PaymentMethod, PaymentStatus, status_of_intent
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from uuid import UUID

    from db.models import Payment
    from db.session import Database
    from domain.scoring import Scorer

from contextlib import asynccontextmanager

ACTOR = "payments"

NOT_PAID_OUT = frozenset({"failed", "canceled"})
"""What Stripe says last of a refund that came to nothing."""


class PaymentBooks:
    """What became of payments, written to the ledger. ``NotFound`` for a payment that is not there.

    ``tell`` has the lifecycles of changed accounts told after the commit, without being waited for: the
    transaction has noted them, so that a sweep tells what a crash has left.
    """

    def __init__(
        self,
        db: "Database",
        scorers: "Mapping[str, Scorer]",
        tell: "Callable[[UUID, Sequence[UUID]], object]",
    ) -> None:
        self._db = db
        self._scorers = scorers
        self._tell = tell

    @activity.defn(name="ledger.record_intent")
    async def record_intent(self, ref: PaymentRef, facts: IntentFacts) -> PaymentView:
        """What Stripe says of a payment's intent. Only ``succeeded`` is posted, once.

        What is older than what is known changes nothing: money that was taken stays taken until a refund or a
        chargeback says otherwise. ``CurrencyDiffers`` when Stripe took another currency.
        """
        async with self._changing(ref.agency_id, ref.payment_id) as change:
            attempted = facts.charge_ref is not None or facts.failure_code is not None
            status = status_of_intent(facts.status, attempted=attempted)
            if status is PaymentStatus.SUCCEEDED and change.payment.status not in TAKEN:
                await change.take(facts)
            elif change.payment.status in UNFINISHED:
                await change.note(status, facts)
            return view(change.payment)

    @activity.defn(name="ledger.record_received")
    async def record_received(self, ref: PaymentRef) -> PaymentView:
        """Post a check or cash that was handed in; nothing where that was done."""
        async with self._changing(ref.agency_id, ref.payment_id) as change:
            if change.payment.status in UNFINISHED:
                await change.post_received()
            return view(change.payment)

    @activity.defn(name="ledger.record_failure")
    async def record_failure(self, failure: PaymentFailure) -> PaymentView:
        """A payment that the provider does not accept as it is asked for has failed; it took nothing."""
        async with self._changing(failure.agency_id, failure.payment_id) as change:
            if change.payment.status in UNFINISHED:
                await change.fail(failure.code, failure.message)
            return view(change.payment)

    @activity.defn(name="ledger.record_refund")
    async def record_refund(self, ref: PaymentRef, facts: RefundFacts) -> PaymentView:
        """What Stripe says of a refund, made here or at Stripe. Only ``succeeded`` is posted, once; one that
        fails after that is taken back.
        """
        async with self._changing(ref.agency_id, ref.payment_id) as change:
            refund = await change.refund_of(facts)
            if refund.status in NOT_PAID_OUT:
                return view(change.payment)
            if facts.status == "succeeded" and refund.journal_id is None:
                await change.pay_back(refund)
            elif facts.status in NOT_PAID_OUT:
                await change.refund_failed(refund, facts)
            return view(change.payment)

    @activity.defn(name="ledger.record_refund_failure")
    async def record_refund_failure(self, failure: RefundFailure) -> PaymentView:
        """A refund that the provider does not make as it is asked for has failed; nothing went back."""
        async with self._changing(failure.agency_id, failure.payment_id) as change:
            refund = await change.tx.refunds.get(failure.refund_id)
            if refund.status == "pending":
                await change.refund_refused(refund, failure.code)
            return view(change.payment)

    @activity.defn(name="ledger.record_paid_back")
    async def record_paid_back(self, ref: RefundRef) -> PaymentView:
        """Post a refund of a check or cash, which was paid out by hand; nothing where that was done."""
        async with self._changing(ref.agency_id, ref.payment_id) as change:
            refund = await change.tx.refunds.get(ref.refund_id)
            if refund.journal_id is None:
                await change.pay_back(refund)
            return view(change.payment)

    @activity.defn(name="ledger.record_dispute")
    async def record_dispute(self, ref: PaymentRef, facts: DisputeFacts) -> PaymentView:
        """What Stripe says of a dispute: money that is withdrawn goes off the ledger, and a hold comes on the
        account; a dispute that was won takes both back.
        """
        async with self._changing(ref.agency_id, ref.payment_id) as change:
            await change.dispute(facts)
            return view(change.payment)

    @asynccontextmanager
    async def _changing(self, agency_id: "UUID", payment_id: "UUID") -> "AsyncIterator[PaymentChange]":
        """One transaction that has locked the payment's account, with its debtor, and then the payment."""
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            account_id = await tx.payments.account_of(payment_id)
            account = await AccountChange.begin(tx, account_id, self._scorers)
            change = PaymentChange(account, await tx.payments.lock(payment_id))
            yield change
            await account.settle()
        if change.noted:
            self._tell(agency_id, [account_id])


def view(payment: "Payment") -> PaymentView:
    """A payment, as its workflow knows it."""
    return PaymentView(
        payment_id=payment.id,
        account_id=payment.account_id,
        status=PaymentStatus(payment.status),
        by_provider=PaymentMethod(payment.method) in BY_PROVIDER,
        intent_ref=payment.processor_ref,
        failure_code=payment.failure_code,
        action_until=payment.action_until,
    )
