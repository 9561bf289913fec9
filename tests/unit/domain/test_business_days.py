"""Days on which banks work."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.business_days import business_day_from, business_days_after, is_business_day

# The first look at a year's holidays takes its time.
unhurried = settings(deadline=None)
DAYS = st.dates(date(2020, 1, 1), date(2045, 12, 31))


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2026, 1, 1), False),
        (date(2026, 6, 19), False),
        (date(2026, 7, 3), False),
        (date(2026, 7, 4), False),
        (date(2026, 7, 6), True),
        (date(2026, 11, 26), False),
        (date(2026, 11, 27), True),
        (date(2027, 7, 5), False),
    ],
    ids=str,
)
def test_weekends_and_federal_holidays_are_none(day: date, works: bool) -> None:
    assert is_business_day(day) is works


@unhurried
@given(DAYS)
def test_the_next_business_day_is_near_and_none_is_passed_over(day: date) -> None:
    found = business_day_from(day)
    assert is_business_day(found)
    assert timedelta(0) <= found - day <= timedelta(days=5)
    assert not any(is_business_day(day + timedelta(days=n)) for n in range((found - day).days))


@unhurried
@given(DAYS, st.integers(1, 12))
def test_so_many_business_days_lie_between(day: date, count: int) -> None:
    found = business_days_after(day, count)
    between = [day + timedelta(days=n) for n in range(1, (found - day).days + 1)]
    assert sum(map(is_business_day, between)) == count
    assert is_business_day(found)
