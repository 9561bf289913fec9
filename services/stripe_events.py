"""Events of Stripe's as the inbox has them: what each is about, and when it is no news."""

from typing import TYPE_CHECKING

from db.inbox import Incoming, Told
from domain.payments import TAKEN, PaymentStatus
from domain.provider_events import Subject, subject_of
from gateways.stripe import CheckoutLink, DisputeState, RefundState

if TYPE_CHECKING:
    from uuid import UUID

    from gateways.stripe import StripeEvent

_TAKES_MONEY = frozenset(
    {"payment_intent.succeeded", "charge.succeeded", "checkout.session.async_payment_succeeded"}
)
_SAID = {
    "payment_intent.processing": PaymentStatus.PROCESSING,
    "payment_intent.requires_action": PaymentStatus.REQUIRES_ACTION,
    "payment_intent.payment_failed": PaymentStatus.FAILED,
    "payment_intent.canceled": PaymentStatus.FAILED,
    "charge.failed": PaymentStatus.FAILED,
    "checkout.session.async_payment_failed": PaymentStatus.FAILED,
}
_UNDER_WAY = frozenset({"pending", "requires_action"})
_ANY_REFUND = frozenset({"pending", "succeeded", "failed", "canceled"})


def incoming(event: "StripeEvent", body: bytes) -> Incoming:
    """An event as it is stored."""
    return Incoming(
        event_ref=event.id,
        type=event.type,
        object_ref=event.object_id,
        intent_ref=event.intent_id,
        body=body,
        occurred_at=event.created,
        matters=subject_of(event.type) is not None,
        problem=event.problem,
        taken=event.type in _TAKES_MONEY or _paid_at_once(event),
    )


def told(event_id: "UUID", event: "StripeEvent") -> Told:
    """Where our books would have to stand for a stored event to be no news.

    Money that was taken is no news of a failure before it: a failure after it is not possible, and what
    follows has events of its own.
    """
    match event.subject:
        case RefundState(id=ref, status=status) if subject_of(event.type) is Subject.REFUND:
            states = _ANY_REFUND if status in _UNDER_WAY else frozenset({status})
            return Told(event_id, "refund", ref, states)
        case DisputeState(id=ref, status=status):
            return Told(event_id, "dispute", ref, frozenset({status}))
    intent = event.intent_id
    if intent is None or subject_of(event.type) not in {Subject.INTENT, Subject.CHECKOUT}:
        return Told(event_id, "intent", intent or "", frozenset())
    said = {_SAID[event.type]} if event.type in _SAID else set()
    return Told(event_id, "intent", intent, frozenset(status.value for status in TAKEN | said))


def _paid_at_once(event: "StripeEvent") -> bool:
    return (
        event.type == "checkout.session.completed"
        and isinstance(event.subject, CheckoutLink)
        and event.subject.payment_status == "paid"
    )
