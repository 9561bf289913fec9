"""Schedules of payment plans: to the cent, in rhythm, on days on which banks work."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.business_days import business_day_from, is_business_day
from domain.errors import Invalid
from domain.plan_schedule import (
    LEAST_INSTALMENT,
    MOST_DAYS_TO_FIRST,
    MOST_INSTALMENTS,
    Frequency,
    check_first_due,
    collected_from,
    due_dates,
    in_full,
    judging_day,
    last_day_of_grace,
    next_try_after,
    reduced,
    rest_of_rhythm,
    schedule,
)

AMOUNTS = st.decimals("1.00", "250000.00", places=2)
# The first look at a year's holidays takes its time.
unhurried = settings(deadline=None)
DAYS = st.dates(date(2024, 1, 1), date(2035, 12, 31))
FREQUENCIES = st.sampled_from(Frequency)
W, M = Frequency.WEEKLY, Frequency.MONTHLY
DAY = timedelta(days=1)


@unhurried
@given(AMOUNTS, FREQUENCIES, DAYS, st.integers(1, MOST_INSTALMENTS))
def test_so_many_instalments_add_up_and_differ_by_a_cent_at_most(
    total: Decimal, frequency: Frequency, first: date, count: int
) -> None:
    if total / count < LEAST_INSTALMENT:
        words = "take fewer" if count > 1 else "less than the least instalment"
        with pytest.raises(Invalid, match=words):
            schedule(total, frequency, first, instalments=count)
        return
    made = schedule(total, frequency, first, instalments=count)
    amounts = [one.amount for one in made]
    assert (sum(amounts), len(made)) == (total, count)
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[0] - amounts[-1] <= Decimal("0.01")


@unhurried
@given(AMOUNTS, FREQUENCIES, DAYS, AMOUNTS)
def test_instalments_of_so_much_add_up_and_the_last_takes_the_rest(
    total: Decimal, frequency: Frequency, first: date, amount: Decimal
) -> None:
    if total / amount > MOST_INSTALMENTS + 1:
        with pytest.raises(Invalid, match="larger amount"):
            schedule(total, frequency, first, amount=amount)
        return
    if total / amount > MOST_INSTALMENTS:
        return
    made = schedule(total, frequency, first, amount=amount)
    *full, last = [one.amount for one in made]
    assert sum(full) + last == total
    if total < amount:
        assert (full, last) == ([], total)
        return
    assert set(full) <= {amount}
    assert LEAST_INSTALMENT <= last < amount + LEAST_INSTALMENT


@unhurried
@given(AMOUNTS, FREQUENCIES, DAYS, st.integers(1, MOST_INSTALMENTS))
def test_dates_go_on_in_rhythm_and_money_is_asked_for_on_business_days(
    total: Decimal, frequency: Frequency, first: date, count: int
) -> None:
    made = schedule(total * count, frequency, first, instalments=count)
    assert [one.number for one in made] == list(range(1, count + 1))
    assert made[0].due_on == first
    for one in made:
        assert is_business_day(one.collect_on)
        assert one.due_on <= one.collect_on
        if frequency is M:
            last_day = monthrange(one.due_on.year, one.due_on.month)[1]
            assert one.due_on.day == min(first.day, last_day)
    for before, after in pairwise(made):
        assert before.due_on < after.due_on
        assert before.collect_on < after.collect_on
        if frequency is not M:
            assert after.due_on - before.due_on == (7 if frequency is W else 14) * DAY


def test_the_31st_is_the_last_day_of_short_months_and_the_31st_again_after() -> None:
    days = list(islice(due_dates(date(2027, 12, 31), M), 6))
    assert [str(day) for day in days] == [
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
        "2028-05-31",
    ]


def test_a_due_date_on_a_holiday_is_kept_and_asked_for_after() -> None:
    [one] = schedule(Decimal("50.00"), M, date(2026, 7, 3), instalments=1)
    assert (one.due_on, one.collect_on) == (date(2026, 7, 3), date(2026, 7, 6))


@pytest.mark.parametrize(
    ("total", "amount", "expected"),
    [
        ("100.00", "30.00", ["30.00", "30.00", "30.00", "10.00"]),
        ("90.50", "30.00", ["30.00", "30.00", "30.50"]),
        ("91.00", "30.00", ["30.00", "30.00", "30.00", "1.00"]),
        ("20.00", "30.00", ["20.00"]),
        ("120.00", "1.00", ["1.00"] * 120),
    ],
)
def test_what_is_left_is_the_last_instalment_or_paid_with_it(
    total: str, amount: str, expected: list[str]
) -> None:
    made = schedule(Decimal(total), M, date(2026, 3, 2), amount=Decimal(amount))
    assert [str(one.amount) for one in made] == expected


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "instalments"),
        ({"instalments": 3, "amount": Decimal(30)}, "instalments"),
        ({"instalments": 0}, "instalments"),
        ({"instalments": 121}, "instalments"),
        ({"instalments": 101}, "instalments"),
        ({"amount": Decimal("0.99")}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
    ],
    ids=str,
)
def test_terms_that_make_no_plan_are_refused(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        schedule(Decimal("100.00"), M, date(2026, 3, 2), **terms)
    assert refused.value.field == field


def test_121_instalments_of_so_much_are_too_many() -> None:
    with pytest.raises(Invalid, match="more than 120"):
        schedule(Decimal("121.00"), M, date(2026, 3, 2), amount=Decimal("1.00"))


@pytest.mark.parametrize(("ahead", "well"), [(-1, False), (0, True), (90, True), (91, False)])
def test_the_first_one_is_due_soon_and_not_in_the_past(ahead: int, well: bool) -> None:
    today = date(2026, 3, 2)
    assert MOST_DAYS_TO_FIRST == 90
    if well:
        check_first_due(today + ahead * DAY, today)
        return
    with pytest.raises(Invalid) as refused:
        check_first_due(today + ahead * DAY, today)
    assert refused.value.field == "first_due"


@unhurried
@given(DAYS, FREQUENCIES, st.integers(0, 900))
def test_what_is_left_after_a_pause_goes_on_in_its_rhythm(
    counted_from: date, frequency: Frequency, later: int
) -> None:
    not_before = counted_from + later * DAY
    found = list(islice(rest_of_rhythm(counted_from, frequency, not_before), 3))
    assert business_day_from(found[0]) >= not_before
    period = 31 if frequency is M else 14
    assert found[0] - not_before < period * DAY
    planned = list(islice(due_dates(counted_from, frequency), 140))
    assert planned[planned.index(found[0]) :][:3] == found, "month ends included"


@pytest.mark.parametrize(
    ("amounts", "owed", "left"),
    [
        ("50 50 50", "149.99", "50 50 0"),
        ("50 50 50", "100", "50 50 0"),
        ("50 50", "49.99", "0 0"),
        ("", "9", ""),
    ],
)
def test_who_agreed_to_these_amounts_pays_these_or_none(amounts: str, owed: str, left: str) -> None:
    found = in_full([Decimal(amount) for amount in amounts.split()], Decimal(owed))
    assert found == [Decimal(amount) for amount in left.split()]


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-03-02T00:00", "2026-03-02"),
        ("2026-03-02T07:59", "2026-03-02"),
        ("2026-03-02T08:00", "2026-03-03"),
        ("2026-03-06T17:00", "2026-03-09"),
        ("2026-03-07T00:00", "2026-03-09"),
    ],
)
def test_people_have_a_business_day_to_enter_what_came(now: str, day: str) -> None:
    zone = "America/New_York"
    at = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert judging_day(at, zone) == date.fromisoformat(day)


@unhurried
@given(st.lists(AMOUNTS, max_size=8), st.decimals("-100.00", "900000.00", places=2))
def test_what_is_paid_otherwise_shortens_the_end(amounts: list[Decimal], owed: Decimal) -> None:
    left = reduced(amounts, owed)
    assert sum(left) == min(sum(amounts), max(owed, Decimal(0)))
    assert all(0 <= new <= old for new, old in zip(left, amounts, strict=True))
    changed = [n for n, (new, old) in enumerate(zip(left, amounts, strict=True)) if new != old]
    assert changed == list(range(len(amounts)))[len(amounts) - len(changed) :]
    kept = [new for new in left if new]
    assert kept == left[: len(kept)]
    assert all(new == amounts[n] for n, new in enumerate(kept[:-2]))


@pytest.mark.parametrize(
    ("amounts", "owed", "left"),
    [
        ("50 50 50", "100.30", "50.00 49.30 1.00"),
        ("50 50 50", "101.00", "50.00 50.00 1.00"),
        ("50 50 50", "50.30", "49.30 1.00 0.00"),
        ("50 50 50", "0.30", "0.30 0.00 0.00"),
        ("1 1 1", "2.40", "1.00 1.00 0.40"),
        ("50 50", "0", "0.00 0.00"),
    ],
)
def test_the_last_one_left_is_no_trifle_where_the_one_before_can_help(
    amounts: str, owed: str, left: str
) -> None:
    found = reduced([Decimal(amount) for amount in amounts.split()], Decimal(owed))
    assert " ".join(format(amount, ".2f") for amount in found) == left


@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1), date(2026, 6, 1)], ids=str)
def test_money_is_asked_for_in_the_morning_where_the_agency_is(day: date) -> None:
    at = collected_from(day, "America/Chicago")
    assert at.astimezone(ZoneInfo("America/Chicago")) == datetime(
        day.year, day.month, day.day, 8, tzinfo=ZoneInfo("America/Chicago")
    )


def test_a_declined_instalment_is_asked_for_again_after_three_business_days() -> None:
    assert next_try_after(date(2026, 7, 1)) == date(2026, 7, 7)


def test_grace_is_five_days() -> None:
    assert last_day_of_grace(date(2026, 3, 2)) == date(2026, 3, 7)
