"""A list's rows as lines of CSV: columns from the shape of a row, cells that no spreadsheet runs."""

import csv
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.schemas.exports import export_request, filters_of
from domain.csv_text import FORMULA_START, restore_formula
from domain.errors import Invalid
from domain.money import LargeMoney, Money
from services import export_csv
from services.export_lists import LISTS, ExportList
from services.fields import View


class Inner(View):
    id: int
    inner_ref: str | None


class Row(View):
    name: str
    amount: Money | None
    large: LargeMoney
    due: date | None
    sure: bool
    inner: Inner | None
    more: dict[str, Any]


COLUMNS = export_csv.columns_of(Row)


def read(*rows: dict[str, Any]) -> list[list[str]]:
    content = export_csv.head(COLUMNS) + export_csv.lines(COLUMNS, rows)
    assert content.startswith(export_csv.BOM)
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    return list(csv.reader(lines, strict=True))


def row(**changes: Any) -> dict[str, Any]:
    whole = Row(
        name="n",
        amount=Decimal("-5.00"),
        large=Decimal(-7),
        due=date(2026, 1, 2),
        sure=True,
        inner=Inner(id=-1, inner_ref="=x"),
        more={"a": ["é"]},
    )
    return whole.model_dump(mode="json") | changes


def test_columns_are_the_fields_and_numbers_stay_numbers() -> None:
    header, first = read(row())
    assert header == ["name", "amount", "large", "due", "sure", "inner_id", "inner_ref", "more"]
    assert first == ["n", "-5.00", "-7.00", "2026-01-02", "true", "-1", "'=x", '{"a": ["é"]}']
    assert [column.name for column in COLUMNS if column.numeric] == ["amount", "large", "inner_id"]


def test_what_is_not_there_is_empty() -> None:
    _, first = read(row(amount=None, due=None, inner=None, sure=False))
    assert first == ["n", "", "-7.00", "", "false", "", "", '{"a": ["é"]}']


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=5))
def test_every_text_comes_back_and_none_begins_as_a_formula(names: list[str]) -> None:
    content = export_csv.lines(COLUMNS, [row(name=name) for name in names]).decode()
    found = list(csv.reader(_physical(content), strict=True))
    assert [restore_formula(cells[0]) for cells in found] == names
    assert not [cells[0] for cells in found if cells[0].startswith(tuple(FORMULA_START))]


def _physical(content: str) -> list[str]:
    """Lines as RFC 4180 knows them: Python would break them at other characters, too."""
    return [f"{line}\n" for line in content.split("\n")[:-1]]


@pytest.mark.parametrize("name", ExportList)
def test_the_columns_of_every_list_have_names_of_their_own(name: ExportList) -> None:
    names = [column.name for column in LISTS[name].columns]
    assert len(names) == len(set(names)) > 3
    assert not [column for column in names if "ssn" in column]


FILTERS: dict[str, dict[str, Any]] = {
    "accounts": {
        "status": ["new"], "collector": "00000000-0000-7000-8000-000000000001", "min_balance": "1.50",
        "created_after": "2026-01-01", "created_before": "2026-02-01", "due_after": "2026-01-01",
        "priority": ["1", 2], "risk_level": "high", "search": " x ", "ordering": "-balance",
    },
    "worklist": {"collector": "none", "status": "new"},
    "debtors": {"state": ["TX", "NY"], "debtor_ref": "d"},
    "high_risk_debtors": {"level": "high", "min_priority": 2},
    "payments": {"status": "succeeded", "account": "00000000-0000-7000-8000-000000000001"},
    "plans": {"status": "active"},
    "imports": {"status": ["failed", "completed"]},
    "import_errors": {"import_id": "00000000-0000-7000-8000-000000000001", "severity": "error"},
    "breaks": {"state": "open", "owner": "me", "age": "30+", "min_value": "3", "escalated": "true"},
    "contacts": {"account_id": "00000000-0000-7000-8000-000000000001"},
    "timeline": {"account_id": "00000000-0000-7000-8000-000000000001"},
}  # fmt: skip


@pytest.mark.parametrize("name", ExportList)
def test_a_filter_is_kept_as_it_was_understood(name: ExportList) -> None:
    listing, request = LISTS[name], export_request(name, FILTERS[name])
    kept = listing.keep(request.wanted)
    again = listing.kept(json.loads(json.dumps(kept)))
    assert listing.keep(again) == kept
    assert kept != listing.keep(export_request(name, required(name)).wanted) or name in {
        "contacts",
        "timeline",
    }


def required(name: ExportList) -> dict[str, Any]:
    return {key: value for key, value in FILTERS[name].items() if key.endswith("_id") and name != "breaks"}


def test_a_page_s_own_parameters_are_filters() -> None:
    given_ = [("status", "new"), ("status", "assigned"), ("search", ""), ("cursor", "x"), ("page_size", "5")]
    assert filters_of([*given_, ("ordering", "balance")]) == {
        "status": ["new", "assigned"],
        "ordering": "balance",
    }


def test_a_list_that_is_not_there_is_named() -> None:
    with pytest.raises(Invalid, match="there is no list “users”") as refused:
        export_request("users", {})
    assert refused.value.field == "list"
