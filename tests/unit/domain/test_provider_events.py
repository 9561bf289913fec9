"""What each of Stripe's events is about."""

import pytest

from domain.provider_events import SUBSCRIBED, Subject, subject_of

ABOUT = {
    "payment_intent.succeeded": Subject.INTENT,
    "payment_intent.canceled": Subject.INTENT,
    "charge.succeeded": Subject.INTENT,
    "charge.failed": Subject.INTENT,
    "charge.refunded": Subject.REFUND,
    "charge.refund.updated": Subject.REFUND,
    "refund.failed": Subject.REFUND,
    "charge.dispute.closed": Subject.DISPUTE,
    "checkout.session.expired": Subject.CHECKOUT,
    "payment_intent.created": None,
    "charge.updated": None,
    "charge.dispute.odd": None,
    "customer.created": None,
    "": None,
}


@pytest.mark.parametrize("event_type", ABOUT)
def test_what_an_event_is_about(event_type: str) -> None:
    assert subject_of(event_type) is ABOUT[event_type]


def test_everything_that_is_asked_for_is_about_something() -> None:
    assert all(subject_of(event_type) for event_type in SUBSCRIBED)
    assert len(set(SUBSCRIBED)) == len(SUBSCRIBED)
