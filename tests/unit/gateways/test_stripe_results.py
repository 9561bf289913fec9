"""What Stripe says, read: one thing that makes no sense keeps nobody from reading the others."""

from typing import Any

import pytest

from gateways.stripe_results import ChargeState, Unreadable, attempt, read_charge

CHARGE = {"id": "ch_1", "status": "succeeded", "amount": 1250, "currency": "usd", "created": 1_772_366_400}


def test_a_charge_is_read() -> None:
    found = attempt(read_charge, "charge", CHARGE)
    assert isinstance(found, ChargeState)
    assert str(found.amount) == "12.50"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("created", 10**12, id="beyond-the-calendar"),
        pytest.param("created", 10**17, id="beyond-the-clock"),
        pytest.param("created", 10**19, id="beyond-the-machine"),
        pytest.param("created", None, id="no-moment"),
        pytest.param("amount", "12,50", id="no-amount"),
        pytest.param("currency", 840, id="no-currency"),
        pytest.param("payment_intent", {}, id="no-intent"),
    ],
)
def test_a_charge_that_makes_no_sense_is_told_by_its_id(name: str, value: Any) -> None:
    found = attempt(read_charge, "charge", CHARGE | {name: value})
    assert isinstance(found, Unreadable)
    assert (found.kind, found.id) == ("charge", "ch_1")
