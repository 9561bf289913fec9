# ruff: noqa: RUF001 (signs and digits that only look like ASCII are what is tested)
"""The row rules in their readable form."""

from datetime import date
from decimal import Decimal

import pytest

from domain.import_profiles import ImportProfile
from domain.placements import (
    PlacementRow,
    RecordType,
    RowProblem,
    Severity,
    WithdrawalRow,
    judge_row,
    normalise_phone,
)

GOOD = {"external_ref": "A-1", "debtor_name": "Ann Lee", "original_amount": "100"}


def judged(
    profile: ImportProfile | None = None, **cells: str
) -> tuple[PlacementRow | None, list[RowProblem]]:
    row, problems = judge_row({**GOOD, **cells}, profile or ImportProfile(), line=7)
    assert not isinstance(row, WithdrawalRow)
    return row, list(problems)


def taken(profile: ImportProfile | None = None, **cells: str) -> PlacementRow:
    row, problems = judged(profile, **cells)
    assert row is not None, problems
    return row


def reason(**cells: str) -> str:
    row, (problem,) = judged(None, **cells)
    assert row is None
    assert (problem.line, problem.column, problem.severity) == (7, next(iter(cells)), Severity.ERROR)
    return problem.error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-5", "is negative"),
        ("0", "is zero"),
        ("0.00", "is zero"),
        ("1e9", "scientific notation"),
        ("NaN", "is not a number"),
        ("-Infinity", "is not a number"),
        ("1,234.50", "has a comma"),
        ("1.234", "more than two decimals"),
        ("1000000000", "too many digits; the limit is 999,999,999.99"),
        ("$5", "names a currency"),
        ("5 USD", "names a currency"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("+5", "not a plain amount"),
        ("5.", "not a plain amount"),
        (".5", "not a plain amount"),
        ("1_000", "not a plain amount"),
        ("٣", "not a plain amount"),
        ("５", "not a plain amount"),
        ("0x10", "not a plain amount"),
        ("five", "not a plain amount"),
        ("9" * 60_000, "too many digits"),
        ("9" * 60_000 + "x", "not a plain amount"),
    ],
)
def test_a_wrong_amount_is_refused_with_its_own_reason(text: str, expected: str) -> None:
    assert expected in reason(original_amount=text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.01", "0.01"),
        ("7", "7.00"),
        (" 7.5 ", "7.50"),
        ("007.50", "7.50"),
        ("999999999.99", "999999999.99"),
    ],
)
def test_plain_amounts_are_exact(text: str, amount: str) -> None:
    assert str(taken(original_amount=text).original_amount) == amount


@pytest.mark.parametrize(("text", "income"), [("-12.5", "-12.50"), ("0", "0.00"), ("-0", "0.00")])
def test_an_income_may_be_negative(text: str, income: str) -> None:
    assert str(taken(monthly_income=text).monthly_income) == income


def test_an_income_is_a_plain_amount() -> None:
    assert "comma" in reason(monthly_income="-1,5")


@pytest.mark.parametrize("text", ["2025-02-30", "2025-13-01", "0000-01-01"])
def test_a_day_that_is_not_in_the_calendar_is_refused(text: str) -> None:
    assert "not a day of the calendar" in reason(due_date=text)


@pytest.mark.parametrize(
    "text", ["30.11.2025", "2025-1-1", "+2025-01-01", "２０２５-01-01", "2025-01-01T00:00"]
)
def test_a_date_in_another_form_is_refused(text: str) -> None:
    assert "in the form 2025-11-30" in reason(due_date=text)


@pytest.mark.parametrize("text", ["1899-12-31", "2101-01-01"])
def test_a_date_of_another_century_is_refused(text: str) -> None:
    assert "check the year" in reason(itemization_date=text)


@pytest.mark.parametrize(
    ("date_format", "text"),
    [
        ("%Y%m%d", "20250203"),
        ("%m/%d/%Y", "2/3/2025"),
        ("%m-%d-%Y", "02-03-2025"),
        ("%d/%m/%Y", "03/02/2025"),
        ("%d.%m.%Y", "3.2.2025"),
    ],
)
def test_dates_follow_the_profile(date_format: str, text: str) -> None:
    profile = ImportProfile.model_validate({"date_format": date_format})
    assert taken(profile, charge_off_date=text).charge_off_date == date(2025, 2, 3)


@pytest.mark.parametrize("text", ["123", "12345", "12a4", "١٢٣٤"])
def test_social_security_digits_are_four_and_never_shown(text: str) -> None:
    _, (problem,) = judged(debtor_ssn_last4=text)
    assert "4 digits" in problem.error
    assert problem.value == "•" * len(text)


def test_a_name_of_ten_thousand_characters_is_refused_and_shown_short() -> None:
    _, (problem,) = judged(debtor_name="x" * 10_000)
    assert "10,000 characters; at most 200" in problem.error
    assert len(problem.value) < 110


@pytest.mark.parametrize("field", ["external_ref", "debtor_name"])
def test_required_text_is_required(field: str) -> None:
    assert "is empty" in reason(**{field: " \u00a0 "})


def test_a_column_that_is_not_there_is_told() -> None:
    _, (problem,) = judge_row({"external_ref": "A", "debtor_name": "B"}, ImportProfile(), line=2)
    assert "is missing" in problem.error


def test_control_characters_are_refused_and_shown_escaped() -> None:
    _, (problem,) = judged(debtor_name="Ann\0Lee")
    assert "\\x00" in problem.error
    assert problem.value == "Ann\\x00Lee"


def test_line_breaks_and_tabs_inside_a_value_become_a_space() -> None:
    assert taken(address_line1=" 1 High St\r\n Flat\t2 \n").address_line1 == "1 High St  Flat 2"


def test_a_formula_is_data() -> None:
    assert taken(debtor_name="=cmd()").debtor_name == "=cmd()"
    assert taken(debtor_name="'=cmd()").debtor_name == "=cmd()", "the mark of an export is taken off"


def test_every_error_of_a_row_is_told() -> None:
    _, problems = judged(original_amount="-1", due_date="x", late_payments_count="1.5")
    assert {problem.column for problem in problems} == {"original_amount", "due_date", "late_payments_count"}


def test_problems_name_the_column_as_the_file_does() -> None:
    _, (problem,) = judge_row(
        {**GOOD, "original_amount": "x"}, ImportProfile(), line=3, columns={"original_amount": "Amt"}
    )
    assert problem.column == "Amt"
    assert problem.error.startswith("Amt ")


@pytest.mark.parametrize("text", ["nobody", "a@b", "a b@c.de", "a@b..com", "@b.com", "x" * 250 + "@b.com"])
def test_a_bad_email_is_left_out_with_a_warning(text: str) -> None:
    row, (problem,) = judged(debtor_email=text)
    assert row is not None
    assert row.debtor_email is None
    assert (problem.column, problem.severity) == ("debtor_email", Severity.WARNING)


def test_a_bad_phone_is_left_out_with_a_warning() -> None:
    row, (problem,) = judged(debtor_phone="call me")
    assert row is not None
    assert row.debtor_phone is None
    assert (problem.column, problem.severity) == ("debtor_phone", Severity.WARNING)


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+12145551234", "US", "+12145551234"),
        ("(214) 555-1234", "US", "+12145551234"),
        ("1.214.555.1234", "CA", "+12145551234"),
        ("214-555-1234 ext. 12", "US", "+12145551234"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 20 7946 0958", "US", "+442079460958"),
        ("1145551234", "US", None),
        ("+1 114 555 1234", "US", None),
        ("+1214", "US", None),
        ("12", "US", None),
        ("", "US", None),
    ],
)
def test_phones_are_normalised(text: str, region: str, expected: str | None) -> None:
    assert normalise_phone(text, region) == expected


def test_codes_are_upper_case_and_unknown_ones_kept() -> None:
    row = taken(employment_status=" self_employed ", contract_type="zero hours", industry_sector="straße")
    assert (row.employment_status, row.contract_type) == ("SELF_EMPLOYED", "ZERO HOURS")
    assert row.industry_sector == "straße"


def test_the_default_creditor_fills_an_empty_cell() -> None:
    profile = ImportProfile(default_creditor="Bank")
    assert taken(profile).creditor_name == "Bank"
    assert taken(profile, creditor_name="Other").creditor_name == "Other"


def test_a_row_can_be_built_from_typed_values() -> None:
    row = PlacementRow(external_ref="A", debtor_name="B", original_amount=Decimal(5))
    assert row.due_date is None


@pytest.mark.parametrize("cell", ["recall", " Recall ", "RECALL", "\u00a0rEcAlL"])
def test_of_a_row_that_takes_an_account_back_only_reference_and_creditor_are_read(cell: str) -> None:
    cells = {
        "external_ref": " A-1 ",
        "creditor_name": "Bank",
        "record_type": cell,
        "debtor_name": "",
        "original_amount": "n/a",
        "due_date": "soon",
        "debtor_phone": "call me",
        "city": "x" * 500 + "\x00",
    }

    assert judge_row(cells, ImportProfile(), line=2) == (
        WithdrawalRow(external_ref="A-1", creditor_name="Bank", record_type=RecordType.RECALL),
        [],
    )


@pytest.mark.parametrize("cell", ["", "placement", "Placement ", "PLACEMENT"])
def test_a_placement_may_say_that_it_is_one(cell: str) -> None:
    cells = {"external_ref": "A-1", "debtor_name": "Ann", "original_amount": "1.00"}

    assert judge_row({**cells, "record_type": cell}, ImportProfile(), line=2) == judge_row(
        cells, ImportProfile(), line=2
    )


def test_a_row_that_takes_back_nothing_or_is_of_no_known_type_is_refused() -> None:
    _, nameless = judge_row({"external_ref": " ", "record_type": "putback"}, ImportProfile(), line=2)
    cells = {"external_ref": "A-1", "debtor_name": "Ann", "original_amount": "1.00", "record_type": "return"}
    row, problems = judge_row(cells, ImportProfile(), line=7, columns={"record_type": "Txn"})

    assert [(problem.column, problem.error) for problem in nameless] == [
        ("external_ref", "external_ref is empty; every row needs it")
    ]
    assert row is None
    assert [(problem.line, problem.column, problem.value, problem.error) for problem in problems] == [
        (7, "Txn", "return", "Txn is none of placement, recall, putback; leave it empty for a placement")
    ]
