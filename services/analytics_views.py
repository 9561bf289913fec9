"""Figures as callers get them. Each answer says since when it holds."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import Field, PlainSerializer, WithJsonSchema

from domain.accounts import AccountStatus
from domain.figures import AgingBucket, Period
from domain.money import LargeMoney
from domain.scoring import RiskLevel
from services.fields import View

Rate = Annotated[
    Decimal,
    PlainSerializer(lambda value: f"{value:.4f}", return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{4}$", "examples": ["0.2500"]}, mode="serialization"
    ),
    Field(description="a part of one, four decimals; null where there is nothing to divide by"),
]


class FiguresView(View):
    """Base of all answers: how fresh they are."""

    as_of: datetime = Field(description="all that was committed before this instant is counted")
    refreshing: bool = Field(description="newer figures are being counted; ask again in some seconds")
    currency: str


class AccountFigures(View):
    """Some accounts: how many, what was placed, what of it is owed now."""

    accounts: int = 0
    placed: LargeMoney = Decimal(0)
    balance: LargeMoney = Decimal(0)


class StatusFigures(AccountFigures):
    """Accounts in one status."""

    status: AccountStatus


class RiskFigures(AccountFigures):
    """Open accounts of one risk level."""

    risk_level: RiskLevel | None = Field(description="null: not scored yet")


class AgingFigures(AccountFigures):
    """Open accounts that are about as long past due."""

    bucket: AgingBucket = Field(
        description="days past due: since the due date, without one since the charge-off;"
        " not_due: still to come; unknown: neither date is known"
    )


class MoneyFigures(View):
    """Money that came in and went back.

    ``received``: payments in full. ``refunded``, ``charged_back``: what went back of payments, less what of
    it came in again. ``net``: received less both. ``collected``: what payments have taken off debts, less
    what came back on them; it leaves out what was paid beyond a debt, which is owed back.
    """

    payments: int = 0
    received: LargeMoney = Decimal(0)
    refunded: LargeMoney = Decimal(0)
    charged_back: LargeMoney = Decimal(0)
    net: LargeMoney = Decimal(0)
    collected: LargeMoney = Decimal(0)


class DecidedPromises(View):
    """Promises to pay of which the outcome is known. ``kept_rate``: kept ÷ (kept + broken)."""

    kept: int = 0
    broken: int = 0
    kept_rate: Rate | None = None


class PromiseFigures(DecidedPromises):
    """All promises; those that were cancelled, by the debtor's next one for example, are neither."""

    open: int = 0
    cancelled: int = 0


class ContactFigures(View):
    """Attempts to reach debtors (outbound, by any medium).

    ``right_party``: those in which somebody spoke with the person themselves; ``right_party_rate``: of all.
    """

    attempts: int = 0
    right_party: int = 0
    right_party_rate: Rate | None = None


class BreakFigures(View):
    """Breaks that are not resolved, and the money at risk in them.

    Those in another currency than the agency's are ``elsewhere``: counted, not added up.
    """

    open: int = 0
    value: LargeMoney = Decimal(0)
    elsewhere: int = 0


class Dashboard(FiguresView):
    """An agency at a glance.

    ``accounts``: all that were ever placed; ``open``: those neither settled nor closed. ``recovery_rate``:
    collected ÷ placed. ``owed_back``: paid beyond debts, and what is not applied. ``statuses`` is in the
    order of the funnel, ``risk`` and ``aging`` are of open accounts.
    """

    accounts: AccountFigures
    open: AccountFigures
    money: MoneyFigures
    owed_back: LargeMoney
    recovery_rate: Rate | None
    promises: PromiseFigures
    contacts: ContactFigures
    breaks: BreakFigures
    statuses: tuple[StatusFigures, ...]
    risk: tuple[RiskFigures, ...]
    aging: tuple[AgingFigures, ...]


class AgingReport(FiguresView):
    """Open accounts by how long they are past due on ``today``, the agency's day."""

    today: date
    total: AccountFigures
    buckets: tuple[AgingFigures, ...]


class CollectorFigures(View):
    """What one collector holds now, and has done in the days asked for.

    ``collector_id`` null: accounts that nobody holds, money that came in on such, contacts and promises by
    others than collectors.
    """

    collector_id: UUID | None
    full_name: str | None
    active: bool
    held: AccountFigures = Field(description="open accounts that are assigned to them now")
    money: MoneyFigures = Field(
        description="of accounts that were assigned to them when it came in, also when it went back later"
    )
    contacts: ContactFigures
    promises: DecidedPromises = Field(description="that they were given, by the day of the outcome")


class Leaderboard(FiguresView):
    """Collectors, who has collected most first; of a collector who asks, only themselves."""

    from_: date = Field(serialization_alias="from")
    to: date
    results: tuple[CollectorFigures, ...]


class TrendPoint(MoneyFigures):
    """One period, as far as it was asked for."""

    start: date
    end: date


class PaymentTrend(FiguresView):
    """Money by period, in the agency's time zone; periods in which nothing happened are there, too."""

    period: Period
    from_: date = Field(serialization_alias="from")
    to: date
    total: MoneyFigures
    points: tuple[TrendPoint, ...]


class Refreshed(View):
    """What asking for newer figures came to."""

    as_of: datetime | None = Field(description="since when the figures hold that there are now")
    refreshing: bool = Field(description="newer ones are being counted")
