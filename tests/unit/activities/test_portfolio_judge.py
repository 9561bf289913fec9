# ruff: noqa: RUF001 (digits and letters that only look like ASCII are what is tested)
"""The vectorised judge and the readable rules agree, on good rows and bad."""

from typing import get_args

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from activities.portfolio_judge import PLACEMENT_SCHEMA, judge
from domain.csv_text import neutralise_formula
from domain.import_profiles import AMOUNT_FIELDS, DATE_FIELDS, FIELDS, DateFormat, ImportProfile
from domain.placements import WHITESPACE, PlacementRow, RowProblem, judge_row

ODD = st.sampled_from(
    [
        "", " ", "0", "-0", "5", "5.", ".5", "+5", "-5", "5.0", "5.00", "5.000", "1e9", "1E2", "NaN", "inf",
        "-Infinity", "1_000", "1,234.50", "007", "0" * 40 + "5.25", "999999999.99", "1000000000",
        "99999999999999", "9" * 300, "٣", "５", "१२", "²", "5 ", "\u00a05", "5\u200b", "\u30005", "5\t",
        "\t5", "5\n", "5\x00", "\x1f5", "5\x85", "'=5", "''=5", "'-5", "'", "'\n5", "=cmd()", "0x5", "5-",
        "--5", "- 5", "$5", "9999", "10000", "0009999", "12345", "1234", "٣٣٣٣", "12 34", "nan", "null",
        "é", "ß", "ŉ", "ǰ", "ı", "employed", "Permanent", "STUDENT\u00a0", "x" * 50, "x" * 51, "x" * 200,
        "x" * 201, "é" * 100, "é" * 101, "😀" * 50, "😀" * 51,
    ]
)  # fmt: skip
DATES = st.sampled_from(
    [
        "2025-02-28", "2025-02-29", "2024-02-29", "2025-02-30", "2025-00-10", "2025-13-01", "0000-01-01",
        "1899-12-31", "1900-01-01", "2100-12-31", "2101-01-01", "9999-12-31", "10000-01-01", "+2025-01-01",
        "-2025-01-01", "2025-1-1", "2025-01-01 ", "２０２５-01-01", "2025-01-01T00:00:00", "20250228",
        "20250230", "2/3/2025", "02/03/2025", "13/02/2025", "02/13/2025", "2.3.2025", "31.04.2025",
        "2-3-2025", "002/3/2025", "2025/02/03", "2025-02-03\n", "2025-02-0٣", "2025--2-03", "2025- 2-03",
        "02/03/25", "2 /3/2025",
    ]
)  # fmt: skip
EMAILS = st.sampled_from(
    [
        "a@b.com", "a@b", "a@@b.com", "@b.com", "a@.com", "a@b..com", "a@b.c", "a b@c.com", "a@b.com ",
        "a@b.com\x00", "a@b,com", "<a@b.com>", "é@é.fr", "a@b.com\u2003x", "x" * 249 + "@b.co",
        "x" * 250 + "@b.co", "=a@b.com",
    ]
)  # fmt: skip
PHONES = st.sampled_from(
    [
        "+12145551234", "+1 (214) 555-1234", "214-555-1234", "2145551234", "12145551234", "1145551234",
        "0145551234", "+11145551234", "+442079460958", "020 7946 0958", "+44 (0)20 7946 0958", "555-1234",
        "call me", "1-800-FLOWERS", "214.555.1234x99", "+1214555123", "+121455512345", "٢١٤٥٥٥١٢٣٤",
        "\uff0b12145551234", "00442079460958", "+", "-", "214\u00a0555\u00a01234", "'+12145551234",
        "214/555/1234", "9" * 300, "+999123456789",
    ]
)  # fmt: skip
TYPES = st.sampled_from(
    [
        "", " ", "placement", "PLACEMENT", "Recall", "recall ", "RECALL", "putback", "PutBack",
        "putbac\u212a", "recal", "recalls", "recall\x00", "recall\u00a0", "'recall", "'=recall",
        "recall\nx", "put back", "D",
    ]
)  # fmt: skip
WILD = st.text(max_size=12) | st.text(alphabet=f"05.-+'= e{WHITESPACE}٣\x00\x1f", max_size=8)
SHAPED = st.from_regex(r"[+-]?[0-9]{0,11}\.?[0-9]{0,3}", fullmatch=True)


def cells_of(field: str) -> st.SearchStrategy[str]:
    """Cells that may or may not do for ``field``, most of them near the edge of its rule."""
    usual = {
        "external_ref": st.just("A-1"),
        "debtor_name": st.just("Ann Lee"),
        "original_amount": st.just("12.50"),
        "debtor_email": EMAILS,
        "debtor_phone": PHONES,
        "debtor_ssn_last4": st.just("0042"),
        "record_type": TYPES,
        **dict.fromkeys(DATE_FIELDS, DATES),
    }.get(field, st.just(""))
    if field in AMOUNT_FIELDS:
        usual |= SHAPED
    return st.one_of(usual, usual, usual, ODD, WILD)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[dict[str, str]]]:
    """Columns of a file and rows of it; each row is odd in few of its cells."""
    required = ["external_ref", "debtor_name", "original_amount"]
    optional = draw(st.lists(st.sampled_from(sorted(set(FIELDS) - set(required))), unique=True, max_size=4))
    fields = draw(st.permutations(required + optional))
    row = st.fixed_dictionaries({field: cells_of(field) for field in fields})
    return fields, draw(st.lists(row, min_size=1, max_size=8))


def assert_alike(rows: list[dict[str, str]], profile: ImportProfile, *, plain: bool, marked: bool) -> None:
    cells = pl.DataFrame(
        {"line": range(2, len(rows) + 2)} | {field: [row[field] for row in rows] for field in rows[0]},
        schema={"line": pl.Int64} | dict.fromkeys(rows[0], pl.String),
    )
    verdict = judge(cells, profile, names={}, plain=plain, marked=marked)
    good: list[dict[str, object]] = []
    warnings: list[RowProblem] = []
    for line, row in enumerate(rows, 2):
        placement, problems = judge_row(row, profile, line=line)
        if placement is not None:
            good.append(dict.fromkeys(PLACEMENT_SCHEMA) | {"line": line, **placement.model_dump()})
            warnings.extend(problems)
    assert verdict.good.to_dicts() == good
    assert verdict.good.schema == dict(PLACEMENT_SCHEMA)
    lines = set(range(2, len(rows) + 2)) - {row["line"] for row in good}
    assert verdict.bad["line"].to_list() == sorted(lines)
    by_place = sorted(warnings, key=lambda warning: (warning.line, warning.column))
    assert sorted(verdict.warnings, key=lambda warning: (warning.line, warning.column)) == by_place


@settings(max_examples=150, deadline=None)
@given(
    tables(),
    st.sampled_from(get_args(DateFormat)),
    st.sampled_from(["US", "GB"]),
    st.none() | st.just("Bank"),
)
def test_both_judges_agree(
    table: tuple[list[str], list[dict[str, str]]], date_format: DateFormat, region: str, creditor: str | None
) -> None:
    _, rows = table
    profile = ImportProfile(date_format=date_format, phone_region=region, default_creditor=creditor)
    assert_alike(rows, profile, plain=False, marked=True)
    every = "".join(cell for row in rows for cell in row.values())
    if every.isascii() and (every.isprintable() or not every):
        assert_alike(rows, profile, plain=True, marked="'" in every)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FIELDS), ODD | DATES | EMAILS | PHONES | TYPES | WILD | SHAPED)
@example("original_amount", "0" * 5_000 + "1")
@example("late_payments_count", "0" * 5_000 + "1")
@example("monthly_income", "-" + "0" * 60 + ".10")
@example("monthly_income", "-12.5")
def test_both_judges_agree_on_any_cell_in_any_field(field: str, cell: str) -> None:
    row = {"external_ref": "A-1", "debtor_name": "Ann Lee", "original_amount": "12.50", field: cell}
    assert_alike([row], ImportProfile(), plain=False, marked=True)


@given(st.text(max_size=30))
def test_a_neutralised_name_is_judged_as_the_name_itself(name: str) -> None:
    rows = [
        {"external_ref": "A", "debtor_name": cell, "original_amount": "1"}
        for cell in (name, neutralise_formula(name))
    ]
    first, second = (judge_row(row, ImportProfile(), line=2)[0] for row in rows)
    marked_already = neutralise_formula(name) != name and name.startswith("'")
    assert first == second or marked_already
    assert_alike(rows, ImportProfile(), plain=False, marked=True)


def test_the_columns_of_good_rows_are_those_of_a_placement() -> None:
    assert list(PLACEMENT_SCHEMA) == ["line", *PlacementRow.model_fields]


@pytest.mark.parametrize("phone", ["(214) 555-1234", "020 7946 0958"])
def test_odd_phones_among_usual_ones_keep_their_rows(phone: str) -> None:
    rows = [
        {"external_ref": str(at), "debtor_name": "Ann", "original_amount": "1", "debtor_phone": given}
        for at, given in enumerate(["+12145551234", phone, "", "nonsense", phone])
    ]
    assert_alike(rows, ImportProfile(phone_region="GB"), plain=True, marked=False)
