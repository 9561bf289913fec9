"""What is typed in is judged like a row of a file, and stricter where a person can mend it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.errors import Invalid
from services.placing import PlacementForm, judged


def form(**values: Any) -> PlacementForm:
    debtor = {"full_name": "Ada", **values.pop("debtor", {})}
    return PlacementForm.model_validate(
        {"external_ref": "R-1", "original_amount": "10.00", "debtor": debtor, **values}
    )


def test_values_are_normalised_like_those_of_a_file() -> None:
    row = judged(
        form(
            external_ref="  R-1 ",
            original_amount="1250.5",
            due_date="2026-03-31",
            debtor={"phone": "214 555 0100", "industry_sector": "retail", "monthly_income": "-5.00"},
        )
    )

    assert (row.external_ref, row.original_amount) == ("R-1", Decimal("1250.50"))
    assert (row.debtor_phone, row.industry_sector) == ("+12145550100", "RETAIL")
    assert (str(row.due_date), row.monthly_income) == ("2026-03-31", Decimal("-5.00"))


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=50))
def test_text_comes_through_unchanged(text: str) -> None:
    row = judged(form(debtor={"full_name": text, "city": text}))

    assert (row.debtor_name, row.city) == (text, text)


@pytest.mark.parametrize("field", ["email", "phone"])
def test_what_a_file_is_warned_about_is_refused(field: str) -> None:
    with pytest.raises(Invalid, match=rf"debtor\.{field} is not .*; write it like") as refused:
        judged(form(debtor={field: "none"}))

    assert refused.value.field == f"debtor.{field}"


def test_every_fault_is_told() -> None:
    with pytest.raises(Invalid) as refused:
        judged(form(external_ref=" ", debtor={"ssn_last4": "12", "full_name": ""}))

    assert {error["field"] for error in refused.value.details["errors"]} == {
        "external_ref",
        "debtor.full_name",
        "debtor.ssn_last4",
    }
    assert "12" not in str(refused.value.details)


def test_one_creditor_is_enough() -> None:
    with pytest.raises(ValidationError, match="not both"):
        form(creditor_name="A", creditor_id="01900000-0000-7000-8000-000000000000")
