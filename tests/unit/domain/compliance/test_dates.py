"""Periods: validation (12 CFR 1006.34), statutes of limitations (1006.26), retention (1006.100)."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.compliance import DebtType, RuleSet, limitation, retention, validation
from domain.compliance.places import STATE_NAMES
from domain.errors import Invalid
from sandbox.portfolio_tables import CREDITORS

DAYS = st.dates(date(2022, 1, 1), date(2040, 12, 31))


@pytest.mark.parametrize(
    ("sent", "receipt", "end"),
    [
        pytest.param("2026-11-20", "2026-11-30", "2026-12-30", id="thanksgiving"),
        pytest.param("2026-12-23", "2026-12-31", "2027-01-30", id="christmas"),
        pytest.param("2026-08-03", "2026-08-10", "2026-09-09", id="plain-monday"),
        pytest.param("2026-08-08", "2026-08-14", "2026-09-13", id="saturday"),
        pytest.param("2026-07-01", "2026-07-09", "2026-08-08", id="independence-day-observed-on-friday"),
        pytest.param("2027-12-29", "2028-01-06", "2028-02-05", id="new-year-observed-in-the-old-one"),
    ],
)
def test_the_validation_period(sent: str, receipt: str, end: str) -> None:
    assert validation.receipt_on(date.fromisoformat(sent)) == date.fromisoformat(receipt)
    assert validation.period_end(date.fromisoformat(sent)) == date.fromisoformat(end)


@settings(deadline=None)
@given(DAYS)
def test_receipt_is_a_working_day_within_eleven_days_and_never_earlier_for_later_letters(
    sent: date,
) -> None:
    receipt = validation.receipt_on(sent)
    assert timedelta(5) <= receipt - sent <= timedelta(11)
    assert receipt.weekday() < 5
    assert validation.receipt_on(sent + timedelta(1)) >= receipt
    assert validation.period_end(sent) - receipt == timedelta(30)


def test_the_notice_is_due_within_five_days() -> None:
    assert validation.notice_due_on(date(2026, 11, 28)) == date(2026, 12, 3)


@pytest.mark.parametrize(
    ("last", "until"),
    [("2026-11-18", "2029-11-18"), ("2024-02-29", "2027-03-01"), ("2025-02-28", "2028-02-28")],
)
def test_records_are_kept_for_three_years(last: str, until: str) -> None:
    assert retention.keep_until(date.fromisoformat(last)) == date.fromisoformat(until)


@settings(deadline=None)
@given(DAYS)
def test_nothing_is_let_go_before_three_years_are_over(day: date) -> None:
    assert retention.keep_until(day) - day >= timedelta(3 * 365)


@settings(deadline=None)
@given(DAYS, st.integers(3, 10))
@example(date(2027, 3, 1), 3)
@example(date(2028, 2, 29), 3)
@example(date(2028, 3, 1), 4)
def test_the_days_whose_records_may_go_end_with_the_last_one_that_is_over(today: date, years: int) -> None:
    newest = retention.over_since(today, years)
    assert retention.keep_until(newest, years) < today <= retention.keep_until(newest + timedelta(1), years)


def test_records_are_kept_for_no_less_than_the_law_wants() -> None:
    with pytest.raises(Invalid, match=r"12 CFR 1006\.100"):
        retention.over_since(date(2026, 11, 22), 2)


@pytest.mark.parametrize(
    ("state", "debt_type", "since", "barred"),
    [
        ("IL", "written", "2020-05-04", "2030-05-04"),
        ("il", "credit_card", "2020-05-04", "2025-05-04"),
        ("Illinois", "promissory", "2020-05-04", "2026-05-04"),
        ("CA", "oral", "2020-05-04", "2022-05-04"),
        ("CA", "medical", "2020-05-04", "2024-05-04"),
        pytest.param("NY", "credit_card", "2022-05-04", "2025-05-04", id="consumer-credit-in-new-york"),
        pytest.param("WY", "auto_loan", "2020-05-04", "2024-05-04", id="goods-four-years-everywhere"),
        pytest.param("WY", "telecom", "2020-05-04", "2022-05-04", id="carriers-two-years-everywhere"),
        pytest.param("WY", "Telecom ", "2020-05-04", "2022-05-04", id="as-files-write-it"),
        pytest.param("WY", "gambling", "2020-05-04", "2026-05-04", id="unknown-type-takes-the-shortest"),
        pytest.param("WY", None, "2020-05-04", "2026-05-04", id="no-type-takes-the-shortest"),
        pytest.param("CA", "oral", "2024-02-29", "2026-02-28", id="leap-day"),
    ],
)
def test_when_a_debt_is_time_barred(
    state: str, debt_type: str | None, since: str, barred: str, federal: RuleSet
) -> None:
    found = limitation.limitation_on(federal, state, debt_type, date.fromisoformat(since))
    assert found == date.fromisoformat(barred)


@pytest.mark.parametrize(
    ("state", "since"), [(None, date(2020, 1, 1)), ("ZZ", date(2020, 1, 1)), ("CA", None)]
)
def test_what_is_not_known_is_not_guessed(state: str | None, since: date | None, federal: RuleSet) -> None:
    assert limitation.limitation_on(federal, state, "written", since) is None


@pytest.mark.parametrize(
    ("since", "barred"), [("9995-12-31", "9999-12-31"), ("9996-02-29", None), ("9999-12-31", None)]
)
def test_a_day_beyond_all_calendars_never_comes(since: str, barred: str | None, federal: RuleSet) -> None:
    found = limitation.limitation_on(federal, "CA", "written", date.fromisoformat(since))
    assert found == (barred and date.fromisoformat(barred))


def test_the_table_has_every_state_and_kind_with_its_statute(federal: RuleSet) -> None:
    assert set(federal.limitation) == set(STATE_NAMES)
    for periods in federal.limitation.values():
        assert set(periods) == set(DebtType)
        assert all(2 <= period.years <= 10 for period in periods.values())
        assert all(re.search(r"[A-Z].*\d-?\d", period.citation) for period in periods.values())


def test_the_account_types_of_the_sample_portfolios_are_known(federal: RuleSet) -> None:
    assert {creditor.account_type for creditor in CREDITORS} <= set(federal.account_types)
