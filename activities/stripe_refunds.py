"""Stripe, asked to give money back: once, and looked up where nobody knows whether it was."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.payment_facts import PAYMENT_ID, REFUND_ID, refund_facts
from activities.payment_messages import RefundFacts, RefundFailure
from activities.stripe_till import KEYS_LAST, StripeAccounts, account_of, once
from domain.errors import Invalid
from gateways.stripe import (
    PaymentDeclined,
    RefundState,
    StripeAccount,
    StripeKeyReused,
    StripeOutcomeUnknown,
)

if TYPE_CHECKING:
    from db.models import Payment, Refund

NOT_MADE = "not_made"


class StripeRefunds:
    """The only one who has Stripe pay out refunds. Raises as ``StripeTill``."""

    def __init__(self, accounts: StripeAccounts) -> None:
        self._accounts = accounts

    async def refund(
        self, payment: "Payment", refund: "Refund", *, attempt: int
    ) -> RefundFacts | RefundFailure:
        """Have a refund paid out. A failure when Stripe does not accept it.

        Every request for a refund moves money, and only its key keeps a second one from being another refund:
        it is looked for before it is asked for again. A key that was used for something else is waited out.
        """
        intent = _intent_of(payment)

        async def ask(key: str) -> RefundState:
            try:
                return await stripe.refund(
                    intent,
                    refund.amount,
                    refund.currency,
                    key=key,
                    metadata={REFUND_ID: str(refund.id), PAYMENT_ID: str(payment.id)},
                )
            except StripeKeyReused as reused:
                raise StripeOutcomeUnknown(reused.message) from reused

        async def look() -> RefundState | None:
            return await _found(stripe, intent, refund)

        async with account_of(self._accounts, payment.agency_id) as stripe:
            keys_expired = datetime.now(UTC) - refund.created_at > KEYS_LAST
            if (attempt > 1 or keys_expired) and (made := await look()):
                return refund_facts(made)
            try:
                return refund_facts(await once(f"refund/{refund.id}", ask, look))
            except (PaymentDeclined, Invalid) as refused:
                made = await look()
                if made is not None:
                    return refund_facts(made)
                return _failure(refund, refused.details.get("code") or refused.type, refused.message)

    async def look_up(self, payment: "Payment", refund: "Refund") -> RefundFacts | RefundFailure:
        """What has become of a refund that Stripe has accepted."""
        async with account_of(self._accounts, payment.agency_id) as stripe:
            if refund.processor_ref is not None:
                return refund_facts(await stripe.retrieve_refund(refund.processor_ref))
            made = await _found(stripe, _intent_of(payment), refund)
        return refund_facts(made) if made else _failure(refund, NOT_MADE, "Stripe has no such refund")


async def _found(stripe: StripeAccount, intent: str, refund: "Refund") -> RefundState | None:
    made = await stripe.refunds_of(intent)
    return next((one for one in made if one.metadata.get(REFUND_ID) == str(refund.id)), None)


def _intent_of(payment: "Payment") -> str:
    if payment.processor_ref is None:
        raise LookupError(f"payment {payment.id} was not taken by Stripe")
    return payment.processor_ref


def _failure(refund: "Refund", code: str, message: str) -> RefundFailure:
    return RefundFailure(
        agency_id=refund.agency_id,
        payment_id=refund.payment_id,
        refund_id=refund.id,
        code=code,
        message=message,
    )
