"""What may be said of a debtor, and its judging: the same rules as a row of a portfolio file."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import Field

from domain.csv_text import neutralise_formula
from domain.errors import Invalid
from domain.import_profiles import ImportProfile
from domain.money import Money
from domain.placements import PlacementRow, judge_row
from services.fields import ChangeForm, Form

Version = Annotated[int, Field(strict=True, ge=1)]
"""The version of a debtor that the caller has seen: another one by now is a conflict."""


Count = Annotated[int, Field(strict=True)]
"""A whole number as JSON writes one: ``true`` is no count of late payments, though Python takes it for 1."""


class DebtorData(Form):
    """Everything but the name of who owes."""

    debtor_ref: str | None = None
    ssn_last4: str | None = Field(None, description="stored encrypted")
    email: str | None = None
    phone: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    monthly_income: Money | None = None
    late_payments_count: Count | None = None
    employment_status: str | None = None
    contract_type: str | None = None
    industry_sector: str | None = None
    family_situation: str | None = None


class NewDebtor(DebtorData):
    """Who owes. With a ``debtor_ref`` that is known it is the same person, and what is given here
    brings their data up to date; without one the debtor is this account's alone."""

    full_name: str


class DebtorForm(NewDebtor):
    """A debtor to be made, who has no accounts yet; files and placements find them by ``debtor_ref``."""

    debtor_ref: str


class DebtorReplacement(NewDebtor):
    """All that is known of a debtor: what is left out is cleared.

    Except ``ssn_last4``, which nobody can read back: left out it stays, null clears it. ``debtor_ref``
    cannot change.
    """

    version: Version | None = None

    def values(self) -> dict[str, object]:
        """Every field by its name, None where it is to be cleared."""
        kept = {"version"} if "ssn_last4" in self.model_fields_set else {"version", "ssn_last4"}
        kept |= set() if "debtor_ref" in self.model_fields_set else {"debtor_ref"}
        return {name: getattr(self, name) for name in type(self).model_fields if name not in kept}


class DebtorChange(ChangeForm, DebtorData):
    """What is to change of a debtor: what is left out stays, null clears. ``debtor_ref`` cannot change."""

    nullable: ClassVar[frozenset[str]] = frozenset(DebtorData.model_fields) - {"debtor_ref"}

    full_name: str | None = None
    version: Version | None = None

    def values(self) -> dict[str, object]:
        """The fields that were given, by their names."""
        return self.given("version")


_IN_A_FILE = {
    "full_name": "debtor_name",
    "debtor_ref": "debtor_ref",
    "ssn_last4": "debtor_ssn_last4",
    "email": "debtor_email",
    "phone": "debtor_phone",
}
DEBTOR_FIELDS: Mapping[str, str] = MappingProxyType(
    {_IN_A_FILE.get(name, name): name for name in NewDebtor.model_fields}
)
"""Fields of a portfolio row that a debtor's form has, and what they are called there."""

_ROW_FIELDS = MappingProxyType({name: field for field, name in DEBTOR_FIELDS.items()})
_SOME_ACCOUNT = MappingProxyType({"external_ref": "x", "debtor_name": "x", "original_amount": Decimal(1)})
"""What a row needs to be one, beside what is to be judged."""


def judge(values: Mapping[str, object], names: Mapping[str, str]) -> PlacementRow:
    """``values`` by the fields of a portfolio row (None: not given), judged as one.

    ``names`` says what the sender calls a field where it differs. ``Invalid`` names the field and the
    remedy. What a file is only warned about (a telephone number that is none) is refused here: whoever
    types it in can mend it.
    """
    cells = {name: _cell(value) for name, value in values.items() if value is not None}
    placement, problems = judge_row(cells, ImportProfile(), line=1, columns=names)
    if problems or not isinstance(placement, PlacementRow):
        errors = [
            {"field": problem.column, "message": problem.error.replace(" and was left out; ", "; ")}
            for problem in problems
        ]
        raise Invalid(errors[0]["message"], field=problems[0].column, errors=errors)
    return placement


def judged_debtor(values: Mapping[str, object]) -> dict[str, Any]:
    """Some fields of a debtor as a row of a file would take them, by their names. ``Invalid`` as ``judge``.

    Empty text is not known, as an empty cell is.
    """
    row = judge({**_SOME_ACCOUNT, **{_ROW_FIELDS[name]: values[name] for name in values}}, DEBTOR_FIELDS)
    return {name: getattr(row, _ROW_FIELDS[name]) for name in values}


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return neutralise_formula(value) if isinstance(value, str) else str(value)
