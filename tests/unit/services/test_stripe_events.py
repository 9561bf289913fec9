"""When an event is no news: where our books would have to stand."""

from typing import Any
from uuid import UUID

import pytest

from gateways.stripe_results import read_event
from services.stripe_events import incoming, told

ROW = UUID(int=7)
TAKEN = {"succeeded", "partially_refunded", "refunded", "disputed"}
REFUNDS = {"pending", "succeeded", "failed", "canceled"}
MONEY = {"amount": 1000, "currency": "usd", "created": 1_700_000_000}


def event(kind: str, **about: Any) -> Any:
    return read_event(
        {"id": "evt_1", "type": kind, "created": 1_700_000_000, "data": {"object": MONEY | about}}
    )


def intent(kind: str, status: str) -> Any:
    return event(kind, id="pi_1", object="payment_intent", status=status)


def charge(kind: str, status: str, of: str | None = "pi_1") -> Any:
    return event(kind, id="ch_1", object="charge", status=status, payment_intent=of)


def refund(kind: str, status: str) -> Any:
    return event(kind, id="re_1", object="refund", status=status, payment_intent="pi_1", charge="ch_1")


def dispute(kind: str, status: str) -> Any:
    return event(
        kind, id="dp_1", object="dispute", status=status, charge="ch_1", payment_intent="pi_1", reason="x"
    )


def page(kind: str, payment_status: str, of: str | None) -> Any:
    return event(
        kind,
        id="cs_1",
        object="checkout.session",
        payment_status=payment_status,
        payment_intent=of,
        expires_at=1_700_000_000,
    )


CASES = {
    "success": (intent("payment_intent.succeeded", "succeeded"), "intent", "pi_1", TAKEN),
    "bank": (intent("payment_intent.processing", "processing"), "intent", "pi_1", TAKEN | {"processing"}),
    "asks": (
        intent("payment_intent.requires_action", "requires_action"),
        "intent",
        "pi_1",
        TAKEN | {"requires_action"},
    ),
    "decline": (
        intent("payment_intent.payment_failed", "requires_payment_method"),
        "intent",
        "pi_1",
        TAKEN | {"failed"},
    ),
    "charge": (charge("charge.succeeded", "succeeded"), "intent", "pi_1", TAKEN),
    "charge-of-nothing": (charge("charge.succeeded", "succeeded", None), "intent", "", set()),
    "refunded-charge": (charge("charge.refunded", "succeeded"), "intent", "pi_1", set()),
    "refund-begun": (refund("refund.created", "pending"), "refund", "re_1", REFUNDS),
    "refund-paid": (refund("refund.updated", "succeeded"), "refund", "re_1", {"succeeded"}),
    "refund-failed": (refund("charge.refund.updated", "failed"), "refund", "re_1", {"failed"}),
    "dispute": (dispute("charge.dispute.created", "needs_response"), "dispute", "dp_1", {"needs_response"}),
    "page-paid": (page("checkout.session.completed", "paid", "pi_1"), "intent", "pi_1", TAKEN),
    "page-left": (page("checkout.session.expired", "unpaid", None), "intent", "", set()),
}


@pytest.mark.parametrize("case", CASES)
def test_where_the_books_would_have_to_stand(case: str) -> None:
    said, subject, ref, states = CASES[case]
    found = told(ROW, said)
    assert (found.event_id, found.subject, found.ref, set(found.states)) == (ROW, subject, ref, states)


def test_what_is_stored_of_an_event() -> None:
    paid = incoming(page("checkout.session.completed", "paid", "pi_1"), b"{}")
    assert (paid.object_ref, paid.intent_ref, paid.matters, paid.taken) == ("cs_1", "pi_1", True, True)
    unpaid = incoming(page("checkout.session.completed", "unpaid", "pi_1"), b"{}")
    assert (unpaid.matters, unpaid.taken) == (True, False)
    other = incoming(event("customer.created", id="cus_1", object="customer"), b"{}")
    assert (other.object_ref, other.intent_ref, other.matters, other.taken) == ("cus_1", None, False, False)
