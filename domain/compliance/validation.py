"""The validation notice and its period (12 CFR 1006.34)."""

from datetime import date, timedelta
from functools import lru_cache

from holidays import HolidayBase, country_holidays

MAIL_DAYS = 5
RESPONSE_DAYS = 30
NOTICE_DAYS = 5

_SATURDAY = 5


@lru_cache(maxsize=1)
def _federal_holidays() -> HolidayBase:
    return country_holidays("US")


def receipt_on(sent_on: date) -> date:
    """The day on which a notice sent on ``sent_on`` is assumed to be received (12 CFR 1006.34(b)(5)).

    The fifth day after it, not counting Saturdays, Sundays and legal public holidays (5 U.S.C. 6103(a)).
    The weekday on which a holiday is observed is not counted either: the rule says "at least five days",
    and no mail comes on it.
    """
    day, counted, closed = sent_on, 0, _federal_holidays()
    while counted < MAIL_DAYS:
        day += timedelta(days=1)
        counted += day.weekday() < _SATURDAY and day not in closed
    return day


def period_end(sent_on: date) -> date:
    """The last day of the validation period: 30 days after the assumed receipt (12 CFR 1006.34(b)(5))."""
    return receipt_on(sent_on) + timedelta(days=RESPONSE_DAYS)


def notice_due_on(first_communication_on: date) -> date:
    """The last day for the notice, five days after the first communication: 12 CFR 1006.34(a)(1)(i)(B)."""
    return first_communication_on + timedelta(days=NOTICE_DAYS)
