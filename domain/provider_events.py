"""Which of Stripe's events matter here, and what each is about."""

from enum import StrEnum
from typing import Final


class Subject(StrEnum):
    """What an event tells of."""

    INTENT = "intent"
    """How a payment stands."""
    REFUND = "refund"
    DISPUTE = "dispute"
    CHECKOUT = "checkout"
    """A payment page: paid, or given up."""


SUBSCRIBED: Final = (
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)
"""What a webhook that is registered from here is sent."""

_ALSO_UNDERSTOOD: Final = ("charge.succeeded", "charge.failed", "charge.refund.updated")
"""What an endpoint that was registered by hand may send besides: the same news in other words."""

_PREFIXES: Final = (
    ("charge.dispute.", Subject.DISPUTE),
    ("charge.refund", Subject.REFUND),
    ("refund.", Subject.REFUND),
    ("checkout.session.", Subject.CHECKOUT),
    ("payment_intent.", Subject.INTENT),
    ("charge.", Subject.INTENT),
)


def subject_of(event_type: str) -> Subject | None:
    """What an event of this type is about; None for one that changes nothing here."""
    if event_type not in SUBSCRIBED and event_type not in _ALSO_UNDERSTOOD:
        return None
    return next(subject for prefix, subject in _PREFIXES if event_type.startswith(prefix))


def oddity(error: Exception) -> str:
    """What is wrong with something that the provider says and that cannot be read, in words."""
    if isinstance(error, LookupError):
        return "a part of it is missing, or of a kind that is not known"
    return "a part of it has no value of the kind that is expected"
