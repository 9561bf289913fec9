"""The instalments of a payment plan: how much, when due, on which day asked for.

Pure: the same terms give the same schedule, wherever they are reckoned.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, count, dropwhile
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from domain.business_days import DAY, business_day_from, business_days_after
from domain.errors import Invalid
from domain.money import CENT, Money, split_exact

NOTICE_DAYS = (3, 10)
"""Not less, and not more, business days before a post-dated payment is deposited its payer is notified in
writing (12 CFR 1006.22(c)(1))."""

MOST_INSTALMENTS = 120
LEAST_INSTALMENT = Decimal("1.00")
MOST_DAYS_TO_FIRST = 90
"""How far ahead the next due date may be set: what begins later is no agreement to pay."""

COLLECTED_AT = time(8)
"""When an instalment is asked for, where the agency is: when people begin to work and can see to it. The hour
is there on every day, those included on which clocks change."""

MOST_TRIES = 3
"""An instalment is asked for once and, declined, at most twice again, for the same amount: what the Nacha
Operating Rules allow where a debit was returned (reinitiation of entries), here for cards, too."""

DAYS_BETWEEN_TRIES = 3
"""Business days between two tries: an answer of the bank to the first one is here by then."""

GRACE_DAYS = 5
"""Days, after the last try or the due date of what a debtor pays by themselves, to make it good."""

ASKED = "asked"
"""Why a plan is paused: somebody asked for it. It goes on when somebody says so."""

MONTHS = 12


class Frequency(StrEnum):
    """How often an instalment is due."""

    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"


_DAYS = {Frequency.WEEKLY: timedelta(days=7), Frequency.BIWEEKLY: timedelta(days=14)}


class ScheduledInstalment(BaseModel):
    """One instalment: due on ``due_on``, asked for on ``collect_on``, the first business day from then on."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    number: int
    amount: Money
    due_on: date
    collect_on: date


def schedule(
    total: Decimal,
    frequency: Frequency,
    first_due: date,
    *,
    instalments: int | None = None,
    amount: Decimal | None = None,
) -> list[ScheduledInstalment]:
    """``total`` in instalments from ``first_due`` on: so many of them, or of so much each.

    By number they are equal but for a cent, the earlier ones being larger where cents are left. By amount all
    are equal but the last, which takes the rest; a rest below ``LEAST_INSTALMENT`` is paid with the one
    before it. ``Invalid`` where an instalment would be too small, or they too many.
    """
    if instalments is not None and amount is None:
        amounts = _so_many(total, instalments)
    elif amount is not None and instalments is None:
        amounts = _of_each(total, amount)
    else:
        raise Invalid("give either the number of instalments or the amount of each", field="instalments")
    dates = due_dates(first_due, frequency)
    return [
        ScheduledInstalment(number=number, amount=part, due_on=due_on, collect_on=business_day_from(due_on))
        for number, (part, due_on) in enumerate(zip(amounts, dates, strict=False), start=1)
    ]


def due_dates(first: date, frequency: Frequency) -> Iterator[date]:
    """``first``, and the dates after it in the rhythm of ``frequency``, without end.

    Months without the day of ``first`` have their last day for it; those after have the day again.
    """
    for index in count():
        if frequency is Frequency.MONTHLY:
            yield _months_after(first, index)
        else:
            yield first + index * _DAYS[frequency]


def rest_of_rhythm(counted_from: date, frequency: Frequency, not_before: date) -> Iterator[date]:
    """The dates of the rhythm that ``counted_from`` began whose day of collection is not before a day."""
    return dropwhile(lambda day: business_day_from(day) < not_before, due_dates(counted_from, frequency))


def check_first_due(day: date, today: date, *, field: str = "first_due") -> None:
    """``Invalid`` for a due date in the past, or more than ``MOST_DAYS_TO_FIRST`` ahead."""
    if day < today:
        raise Invalid(f"{day} is in the past; it is {today} where the agency is", field=field)
    if day > today + timedelta(days=MOST_DAYS_TO_FIRST):
        raise Invalid(f"{day} is too far ahead; at most {MOST_DAYS_TO_FIRST} days are", field=field)


def reduced(amounts: Sequence[Decimal], at_most: Decimal) -> list[Decimal]:
    """Amounts of which no more than ``at_most`` in all is owed any more: the last ones shrink, down to 0.

    Where less than ``LEAST_INSTALMENT`` would be left of the last one, the one before gives it the rest of
    that: none grows, and a provider takes no smaller amounts.
    """
    left = max(at_most, Decimal(0))
    kept = []
    for amount in amounts:
        kept.append(min(amount, left))
        left -= kept[-1]
    last = sum(amount > 0 for amount in kept) - 1
    missing = min(LEAST_INSTALMENT, amounts[last]) - kept[last] if last > 0 else Decimal(0)
    if missing > 0 and kept[last - 1] - missing >= LEAST_INSTALMENT:
        kept[last] += missing
        kept[last - 1] -= missing
    return kept


def in_full(amounts: Sequence[Decimal], at_most: Decimal) -> list[Decimal]:
    """As ``reduced``, where these amounts and no others were agreed on: the first so many in full, then 0."""
    totals = accumulate(amounts)
    return [amount if total <= at_most else Decimal(0) for amount, total in zip(amounts, totals, strict=True)]


def collected_from(day: date, zone: str) -> datetime:
    """When what is asked for on ``day`` is asked for, in an IANA time zone."""
    return datetime.combine(day, COLLECTED_AT, ZoneInfo(zone))


def next_try_after(day: date) -> date:
    """When an instalment that was declined on ``day`` is asked for again."""
    return business_days_after(day, DAYS_BETWEEN_TRIES)


def last_day_of_grace(day: date) -> date:
    """The last day on which an instalment can be made good that was due, or declined at last, on ``day``."""
    return day + timedelta(days=GRACE_DAYS)


def judging_day(now: datetime, zone: str) -> date:
    """The business day that people have yet to enter what came within grace that is over ``now``.

    Today, where they have not begun to work; a check may have come on the Friday before.
    """
    here = now.astimezone(ZoneInfo(zone))
    return business_day_from(here.date() if here.time() < COLLECTED_AT else here.date() + DAY)


def _so_many(total: Decimal, number: int) -> list[Decimal]:
    if not 1 <= number <= MOST_INSTALMENTS:
        raise Invalid(f"must be 1 to {MOST_INSTALMENTS}", field="instalments")
    amounts = split_exact(total, [1] * number)
    if amounts[-1] < LEAST_INSTALMENT:
        if number == 1:
            raise Invalid(f"{total} is less than the least instalment, {LEAST_INSTALMENT}", field="total")
        raise Invalid(
            f"{total} in {number} instalments is less than {LEAST_INSTALMENT} each; take fewer",
            field="instalments",
        )
    return amounts


def _of_each(total: Decimal, amount: Decimal) -> list[Decimal]:
    if amount < LEAST_INSTALMENT or total < LEAST_INSTALMENT:
        raise Invalid(f"an instalment is at least {LEAST_INSTALMENT}", field="amount")
    full, rest = divmod(total, amount)
    rest = rest.quantize(CENT)
    if full + (1 if rest else 0) > MOST_INSTALMENTS:
        raise Invalid(
            f"{total} in instalments of {amount} are more than {MOST_INSTALMENTS}; take a larger amount",
            field="amount",
        )
    amounts = [amount] * int(full)
    if rest >= LEAST_INSTALMENT:
        amounts.append(rest)
    elif rest:
        amounts[-1] += rest
    return amounts


def _months_after(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, MONTHS)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
