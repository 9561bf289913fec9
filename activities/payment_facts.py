"""What Stripe's objects say, as messages. Apart from those: whoever imports this has the gateway at hand."""

from collections.abc import Mapping
from uuid import UUID

from activities.payment_messages import DisputeFacts, IntentFacts, RefundFacts
from gateways.stripe_results import DisputeState, IntentState, RefundState

REFUND_ID = "recoup_refund"
PAYMENT_ID = "recoup_payment"
ACCOUNT_ID = "recoup_account"
"""Names in the metadata of Stripe's objects."""


def our_id(metadata: Mapping[str, str], name: str) -> UUID | None:
    """The id of ours in an object's metadata; None where there is none, for anybody can write there."""
    try:
        return UUID(metadata[name])
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def intent_facts(state: IntentState) -> IntentFacts:
    """What a payment intent says."""
    failure = state.failure
    return IntentFacts(
        intent_ref=state.id,
        status=state.status.value,
        amount_received=state.amount_received,
        currency=state.currency.upper(),
        created=state.created,
        charge_ref=state.charge_id,
        failure_code=(failure.decline_code or failure.code) if failure else state.cancellation_reason,
        failure_message=failure.message if failure else None,
        action_url=state.action_url,
    )


def refund_facts(state: RefundState) -> RefundFacts:
    """What a refund says."""
    return RefundFacts(
        refund_ref=state.id,
        status=state.status,
        amount=state.amount,
        currency=state.currency.upper(),
        created=state.created,
        refund_id=our_id(state.metadata, REFUND_ID),
        failure_code=state.failure_reason,
    )


def dispute_facts(state: DisputeState) -> DisputeFacts:
    """What a dispute says."""
    return DisputeFacts(
        dispute_ref=state.id,
        status=state.status,
        reason=state.reason,
        amount=state.amount,
        currency=state.currency.upper(),
        created=state.created,
        inquiry=state.inquiry,
        respond_by=state.respond_by,
    )
