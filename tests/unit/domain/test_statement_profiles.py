"""Layouts of statements: what is understood, and what contradicts itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.statement_profiles import StatementProfile, profile_of


def test_a_bank_states_payments_and_an_agency_accounts_unless_told_otherwise() -> None:
    assert profile_of("bank", {}).kind == "payments"
    assert profile_of("agency", {}).kind == "accounts"
    assert profile_of("bank", {"kind": "accounts"}).kind == "accounts"


def test_columns_are_found_by_mapping_or_by_the_name_of_the_field() -> None:
    profile = StatementProfile(columns={"Acct No": "account_ref", "Open Amount": "balance"})
    fields = {name: profile.field_of(name) for name in (" acct no ", "OPEN AMOUNT", "Status", "balance", "x")}
    assert fields == {
        " acct no ": "account_ref",
        "OPEN AMOUNT": "balance",
        "Status": "status",
        "balance": None,
        "x": None,
    }
    assert profile.field_of("debtor_id") == profile.field_of("debtor_ref") == "debtor_ref"
    assert profile.name_of("balance") == "Open Amount"


def test_words_for_a_status_mean_themselves_or_what_the_profile_says() -> None:
    words = StatementProfile(statuses={"geschlossen": "PAID", "Paid": "PARTIAL"}).status_words()
    assert words == {"UNPAID": "UNPAID", "PARTIAL": "PARTIAL", "PAID": "PARTIAL", "GESCHLOSSEN": "PAID"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"columns": {"a": "amount"}}, "a statement of accounts has no fields amount"),
        ({"kind": "payments", "columns": {"a": "balance"}}, "a statement of payments has no fields balance"),
        ({"columns": {"a": "debtor_id", "b": "debtor_ref"}}, "two columns are mapped to the same field"),
        ({"columns": {"a": "balance", " A": "status"}}, "a column is mapped twice"),
        ({"time_zone": "Mars/Base"}, "unknown time zone 'Mars/Base'"),
        ({"time_zone": "../etc/passwd"}, "unknown time zone"),
        ({"statuses": {"gone": "LOST"}}, "unknown statuses LOST; known are UNPAID, PARTIAL, PAID"),
        ({"statuses": {"gone": "PAID", "GONE ": "UNPAID"}}, "a word is mapped twice"),
        ({"decimal_mark": ",", "thousands": ","}, "are the same"),
        ({"currency": "usd"}, "currency"),
        ({"trailer": {"marker": "END OF FILE"}}, "trailer.marker"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_contradicts_itself_is_refused_with_the_reason(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("[", r"\[")):
        StatementProfile.model_validate(values)
