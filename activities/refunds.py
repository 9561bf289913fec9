"""The steps of a refund at the provider: what they learn is brought to the books by its workflow."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.payment_books import ACTOR
from activities.payment_messages import RefundFacts, RefundFailure, RefundRef
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.stripe_refunds import StripeRefunds
    from db.models import Payment, Refund
    from db.session import Database


class RefundActivities:
    """A refund at the provider. ``NotFound`` for one that is not there; otherwise as ``StripeRefunds``."""

    def __init__(self, db: "Database", stripe: "StripeRefunds") -> None:
        self._db = db
        self._stripe = stripe

    @activity.defn(name="refunds.refund")
    async def refund(self, ref: RefundRef) -> RefundFacts | RefundFailure:
        """Have the refund paid out, unless it was before: who tries again, looks first."""
        payment, refund = await self._read(ref)
        async with heartbeating():
            return await self._stripe.refund(payment, refund, attempt=activity.info().attempt)

    @activity.defn(name="refunds.look_up")
    async def look_up_refund(self, ref: RefundRef) -> RefundFacts | RefundFailure:
        """What has become of the refund."""
        payment, refund = await self._read(ref)
        async with heartbeating():
            return await self._stripe.look_up(payment, refund)

    async def _read(self, ref: RefundRef) -> "tuple[Payment, Refund]":
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            return await tx.payments.get(ref.payment_id), await tx.refunds.get(ref.refund_id)
