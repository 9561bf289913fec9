"""What figures are counted by: how long a debt is past due, days, weeks and months, and shares."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from domain.errors import Invalid


class AgingBucket(StrEnum):
    """How many days a debt is past due: since its due date, without one since its charge-off.

    Due today is 0 days past due. ``NOT_DUE``: the day is still to come. ``UNKNOWN``: there is neither date.
    """

    NOT_DUE = "not_due"
    TO_30 = "0-30"
    TO_60 = "31-60"
    TO_90 = "61-90"
    OVER_90 = "90+"
    UNKNOWN = "unknown"


LAST_DAY = {
    AgingBucket.NOT_DUE: -1,
    AgingBucket.TO_30: 30,
    AgingBucket.TO_60: 60,
    AgingBucket.TO_90: 90,
}
"""The last day past due of each bucket that has one."""

FROM_DAY = {
    AgingBucket.TO_30: LAST_DAY[AgingBucket.NOT_DUE] + 1,
    AgingBucket.TO_60: LAST_DAY[AgingBucket.TO_30] + 1,
    AgingBucket.TO_90: LAST_DAY[AgingBucket.TO_60] + 1,
    AgingBucket.OVER_90: LAST_DAY[AgingBucket.TO_90] + 1,
}
"""The first day past due of each bucket that has one."""


class Period(StrEnum):
    """What a trend is cut into. Weeks begin on Mondays (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def first_day(self, day: date) -> date:
        """The first day of the period that ``day`` is in."""
        match self:
            case Period.WEEK:
                return day - timedelta(days=day.weekday())
            case Period.MONTH:
                return day.replace(day=1)
            case _:
                return day

    def next(self, first_day: date) -> date:
        """The first day of the period after the one that begins on ``first_day``."""
        match self:
            case Period.WEEK:
                return first_day + timedelta(days=7)
            case Period.MONTH:
                return (first_day + timedelta(days=31)).replace(day=1)
            case _:
                return first_day + timedelta(days=1)


USUAL_DAYS = {Period.DAY: 30, Period.WEEK: 12 * 7, Period.MONTH: 365}
"""How many days a trend reaches back, and a leaderboard by day, unless it is said."""

MOST_PERIODS = 400
MOST_DAYS = 366
FIRST_DAY, LAST_DAY_OF_ALL = date(1970, 1, 1), date(2199, 12, 31)


@dataclass(frozen=True, slots=True)
class Days:
    """The days from ``first`` to ``last``, both counted."""

    first: date
    last: date

    @classmethod
    def asked(cls, since: date | None, until: date | None, *, today: date, usual: int) -> "Days":
        """What a caller asked for: up to today and ``usual`` days long unless said.

        ``Invalid`` when it ends before it begins, and for years that no book here is of.
        """
        for field, day in (("from", since), ("to", until)):
            if day is not None and not FIRST_DAY <= day <= LAST_DAY_OF_ALL:
                raise Invalid(f"{field}: must be from {FIRST_DAY} to {LAST_DAY_OF_ALL}", field=field)
        last = until or max(today, since or today)
        first = since or last - timedelta(days=usual - 1)
        if first > last:
            raise Invalid(f"from: {first} is after to, {last}", field="from")
        return cls(first, last)

    @property
    def count(self) -> int:
        """How many days these are."""
        return (self.last - self.first).days + 1

    def at_most(self, most: int) -> "Days":
        """These days. ``Invalid`` when there are more than ``most``."""
        if self.count > most:
            raise Invalid(
                f"from: {self.first} to {self.last} are {self.count:,} days; at most {most} are added up",
                field="from",
            )
        return self

    def cut(self, period: Period) -> Iterator["Days"]:
        """These days period by period, the first and last as far as they are asked for.

        ``Invalid`` when that would be more than ``MOST_PERIODS``.
        """
        count = 0
        first = self.first
        while first <= self.last:
            if (count := count + 1) > MOST_PERIODS:
                raise Invalid(
                    f"from: more than {MOST_PERIODS} periods; ask for fewer days, or by week or month",
                    field="from",
                )
            after = period.next(period.first_day(first))
            yield Days(first, min(after - timedelta(days=1), self.last))
            first = after


def share(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """``part`` of ``whole``, four decimals; None of nothing."""
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_HALF_UP) if whole else None
