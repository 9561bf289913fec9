"""Days on which banks work: neither Saturday, Sunday nor a federal holiday (5 U.S.C. 6103).

A holiday that falls on a Saturday counts on the Friday before, too, though Federal Reserve Banks are open
then: money asked for a day later does nobody harm.
"""

from datetime import date, timedelta
from functools import cache

from holidays import HolidayBase, country_holidays

DAY = timedelta(days=1)
SATURDAY = 5


@cache
def _federal_holidays() -> HolidayBase:
    return country_holidays("US")


def is_business_day(day: date) -> bool:
    """Whether banks work on ``day``."""
    return day.weekday() < SATURDAY and day not in _federal_holidays()


def business_day_from(day: date) -> date:
    """``day`` if banks work on it, else the next day on which they do."""
    while not is_business_day(day):
        day += DAY
    return day


def business_days_after(day: date, count: int) -> date:
    """The business day that is ``count`` (at least 1) after ``day``, which need not be one itself."""
    for _ in range(count):
        day = business_day_from(day + DAY)
    return day
