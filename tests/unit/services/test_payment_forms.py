"""What is written of money never holds the number of a card."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.break_views import DecisionForm, ResolutionForm
from services.fields import Form
from services.payment_forms import ApplyCreditForm, HandBackForm, RefundForm
from services.plan_forms import PayEarlyForm, PlanEndForm

CARD = "4242-4242 4242\u20114242"
FORMS: dict[str, tuple[type[Form], str, dict[str, Any]]] = {
    "refund": (RefundForm, "reason", {}),
    "credit applied": (ApplyCreditForm, "reason", {}),
    "credit handed back": (HandBackForm, "reason", {}),
    "handed back by check": (HandBackForm, "reference", {}),
    "plan ended": (PlanEndForm, "reason", {}),
    "break resolved": (ResolutionForm, "note", {"resolution": "explain"}),
    "break decided": (DecisionForm, "note", {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_number_of_a_card_is_kept_nowhere(name: str) -> None:
    form, field, more = FORMS[name]
    form.model_validate({field: "as they asked on 2026-03-31, check 10442", **more})
    with pytest.raises(ValidationError) as refused:
        form.model_validate({field: f"card {CARD}", **more})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
    assert "4242" not in str(refused.value)


def test_not_even_in_the_shape_of_a_payment_method() -> None:
    with pytest.raises(ValidationError):
        PayEarlyForm.model_validate({"payment_method": "pm_4242424242424242"})


def test_what_kind_another_method_is_must_be_said() -> None:
    """A bank account asked for money as a card would be refused by Stripe, days later."""
    for given in ({"payment_method": "pm_card_visa"}, {"method": "card"}):
        with pytest.raises(ValidationError) as refused:
            PayEarlyForm.model_validate(given)
        assert [error["loc"] for error in refused.value.errors()] == [("method",)]
    PayEarlyForm.model_validate({"payment_method": "pm_card_visa", "method": "card"})
