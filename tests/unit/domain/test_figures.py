"""Days, weeks and months of a trend; shares."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.figures import MOST_PERIODS, Days, Period, share

TODAY = date(2026, 11, 22)
days = st.dates(date(1970, 1, 1), date(2199, 12, 31))


def test_weeks_begin_on_mondays_and_months_on_the_first() -> None:
    assert Period.WEEK.first_day(TODAY) == date(2026, 11, 16)
    assert Period.WEEK.first_day(date(2026, 11, 16)) == date(2026, 11, 16)
    assert Period.MONTH.first_day(TODAY) == date(2026, 11, 1)
    assert Period.DAY.first_day(TODAY) == TODAY
    assert Period.MONTH.next(date(2026, 12, 1)) == date(2027, 1, 1)
    assert Period.MONTH.next(date(2026, 1, 1)) == date(2026, 2, 1)
    assert Period.WEEK.next(date(2026, 12, 28)) == date(2027, 1, 4)


@given(days, st.integers(0, 399), st.sampled_from(Period))
def test_periods_follow_one_another_without_a_gap_and_cover_what_was_asked_for(
    first: date, more: int, period: Period
) -> None:
    last = min(first + timedelta(days=more), date(2199, 12, 31))
    cut = list(Days(first, last).cut(period))

    assert (cut[0].first, cut[-1].last) == (first, last)
    for one, following in pairwise(cut):
        assert one.last + timedelta(days=1) == following.first == period.first_day(following.first)
    assert all(period.first_day(one.last) <= one.first for one in cut)


def test_what_is_not_said_is_up_to_today() -> None:
    assert Days.asked(None, None, today=TODAY, usual=30) == Days(date(2026, 10, 24), TODAY)
    assert Days.asked(date(2026, 11, 20), None, today=TODAY, usual=30) == Days(date(2026, 11, 20), TODAY)
    assert Days.asked(None, date(2026, 3, 2), today=TODAY, usual=2) == Days(
        date(2026, 3, 1), date(2026, 3, 2)
    )
    ahead = date(2027, 1, 1)
    assert Days.asked(ahead, None, today=TODAY, usual=30) == Days(ahead, ahead)


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [
        (date(2026, 2, 2), date(2026, 2, 1), "from"),
        (date(1969, 12, 31), None, "from"),
        (None, date(9999, 12, 31), "to"),
    ],
)
def test_days_that_nothing_can_be_of_are_refused(since: date | None, until: date | None, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        Days.asked(since, until, today=TODAY, usual=30)
    assert refused.value.details["field"] == field


def test_too_many_periods_are_refused_and_as_many_as_may_be_are_not() -> None:
    most = Days(TODAY, TODAY + timedelta(days=MOST_PERIODS - 1))
    assert len(list(most.cut(Period.DAY))) == MOST_PERIODS
    with pytest.raises(Invalid, match="by week or month"):
        list(Days(TODAY, most.last + timedelta(days=1)).cut(Period.DAY))
    assert most.at_most(MOST_PERIODS) is most
    with pytest.raises(Invalid, match="400 days; at most 399"):
        most.at_most(MOST_PERIODS - 1)


def test_a_share_of_nothing_is_none() -> None:
    assert share(1, 0) is None
    assert share(Decimal(0), Decimal(0)) is None
    assert share(1, 3) == Decimal("0.3333")
    assert share(Decimal("2.00"), Decimal("3.00")) == Decimal("0.6667")
