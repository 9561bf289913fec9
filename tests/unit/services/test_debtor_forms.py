"""What is typed in of a debtor is judged like a row of a file, whole or in part."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.csv_text import neutralise_formula
from domain.errors import Invalid
from domain.import_profiles import ImportProfile
from domain.placements import judge_row
from services.debtor_forms import DEBTOR_FIELDS, DebtorChange, DebtorReplacement, judged_debtor

ROW_FIELDS = {name: field for field, name in DEBTOR_FIELDS.items()}
CELLS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["", " ", "\xa0", "a\x07b", "a\nb", "x" * 300, "=cmd()", "'=cmd()", "retail", "a@b.cd"]),
    st.sampled_from(["-5.00", "1e3", "12.345", "4", "-1", "10000", "0042", "123", "+12145550100"]),
)


@given(name=st.sampled_from(sorted(ROW_FIELDS)), text=CELLS)
def test_one_field_is_judged_as_a_file_judges_it(name: str, text: str) -> None:
    cells = {"external_ref": "x", "debtor_name": "x", "original_amount": "1"}
    row, problems = judge_row({**cells, ROW_FIELDS[name]: neutralise_formula(text)}, ImportProfile(), line=1)

    if problems or row is None:
        with pytest.raises(Invalid) as refused:
            judged_debtor({name: text})
        assert refused.value.field == name
    else:
        assert judged_debtor({name: text}) == {name: getattr(row, ROW_FIELDS[name])}


def test_what_was_not_given_is_not_judged() -> None:
    assert judged_debtor({}) == {}
    assert judged_debtor({"email": None, "monthly_income": Decimal("12.5")}) == {
        "email": None,
        "monthly_income": Decimal("12.50"),
    }


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ({}, {}),
        ({"version": 3}, {}),
        ({"email": None, "ssn_last4": None}, {"email": None, "ssn_last4": None}),
        ({"full_name": "Ada", "debtor_ref": "D"}, {"full_name": "Ada", "debtor_ref": "D"}),
    ],
)
def test_a_change_is_what_was_given(body: dict[str, Any], values: dict[str, Any]) -> None:
    assert DebtorChange.model_validate(body).values() == values


@pytest.mark.parametrize("name", ["full_name", "debtor_ref", "version"])
def test_what_a_debtor_needs_is_not_cleared_by_a_change(name: str) -> None:
    with pytest.raises(ValidationError, match="must not be null") as refused:
        DebtorChange.model_validate({name: None})
    assert [error["loc"] for error in refused.value.errors()] == [(name,)]


def test_a_replacement_is_everything_but_what_only_the_sender_of_it_knows() -> None:
    bare = DebtorReplacement.model_validate({"full_name": "Ada", "version": 2}).values()
    whole = DebtorReplacement.model_validate({"full_name": "Ada", "ssn_last4": None, "debtor_ref": None})

    assert set(bare) == set(ROW_FIELDS) - {"ssn_last4", "debtor_ref"}
    assert {name for name, value in bare.items() if value is not None} == {"full_name"}
    assert set(whole.values()) == set(ROW_FIELDS)


def test_an_unusable_address_is_told_in_one_clean_sentence() -> None:
    with pytest.raises(Invalid) as refused:
        judged_debtor({"email": "nowhere"})
    told = "email is not an email address; write it like name@example.com"
    assert refused.value.message == told
    assert refused.value.details["errors"] == [{"field": "email", "message": told}]
