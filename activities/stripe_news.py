"""What Stripe says of an intent now. Whoever imports this has the gateway at hand: no workflow does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from activities.payment_facts import PAYMENT_ID, dispute_facts, intent_facts, our_id, refund_facts
from gateways.stripe import IntentState, StripeObjectMissing

if TYPE_CHECKING:
    from activities.payment_messages import DisputeFacts, IntentFacts, RefundFacts
    from activities.stripe_accounts import StripeAccounts
    from gateways.stripe import DisputeState, RefundState, StripeAccount


@dataclass(frozen=True, slots=True)
class News:
    """An intent as it is now, with what became of its money, the oldest first.

    ``payment_id`` is our payment's, as the intent itself says; None for one that was not made from here.
    """

    intent: "IntentFacts"
    payment_id: UUID | None
    refunds: "tuple[RefundFacts, ...]" = ()
    disputes: "tuple[DisputeFacts, ...]" = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A payment page: the intent that it has made, if it has, and our payment's id."""

    intent_ref: str | None
    payment_id: UUID | None


class StripeNews:
    """Looks things up at Stripe. Raises ``StripeOutage``, ``StripeAuthenticationFailed`` and
    ``NoStripeCredentials``; what is not there is None.
    """

    def __init__(self, accounts: "StripeAccounts") -> None:
        self._accounts = accounts

    async def of_intent(self, agency_id: UUID, intent_ref: str, *, whole: bool) -> News | None:
        """An intent; with its refunds and disputes for the ``whole``."""
        account = await self._accounts.of(agency_id)
        try:
            state = await account.retrieve(intent_ref)
        except StripeObjectMissing:
            return None
        if not whole:
            return _news(state)
        return _news(state, await account.refunds_of(intent_ref), await account.disputes_of(intent_ref))

    async def of_page(self, agency_id: UUID, checkout_ref: str) -> Page | None:
        """A payment page."""
        account = await self._accounts.of(agency_id)
        try:
            page = await account.retrieve_checkout(checkout_ref)
        except StripeObjectMissing:
            return None
        return Page(page.intent_id, our_id(page.metadata, PAYMENT_ID))

    async def account(self, agency_id: UUID) -> "StripeAccount":
        """The agency's account, whose lists are read."""
        return await self._accounts.of(agency_id)


def _news(
    intent: IntentState,
    refunds: "list[RefundState] | None" = None,
    disputes: "list[DisputeState] | None" = None,
) -> News:
    return News(
        intent=intent_facts(intent),
        payment_id=our_id(intent.metadata, PAYMENT_ID),
        refunds=tuple(refund_facts(refund) for refund in reversed(refunds or [])),
        disputes=tuple(dispute_facts(dispute) for dispute in reversed(disputes or [])),
    )
