"""Figures: what dashboards show, counted ahead. All of it can be counted again from the other tables."""

from datetime import date
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Instant

Total = Annotated[Decimal, mapped_column(Numeric(18, 2), server_default=text("0"))]
"""What amounts add up to, in the agency's currency."""

Count = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]


class Figures(Base):
    """An agency's figures: since when they hold, and its totals.

    All that was committed before ``as_of`` is in them. ``changes``: how much had changed in the tables that
    they are counted from, then (``db.figures``). ``took_ms``: how long the counting took. ``today``: the
    agency's day by which ages are counted. Money is what was taken and given back, whenever.
    """

    __tablename__ = "figures"

    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    as_of: Mapped[Instant]
    took_ms: Mapped[int]
    changes: Mapped[str]
    today: Mapped[date]
    payments: Mapped[Count]
    received: Mapped[Total]
    refunded: Mapped[Total]
    charged_back: Mapped[Total]
    collected: Mapped[Total]
    owed_back: Mapped[Total]
    attempts: Mapped[Count]
    right_party: Mapped[Count]
    promises_open: Mapped[Count]
    promises_kept: Mapped[Count]
    promises_broken: Mapped[Count]
    promises_cancelled: Mapped[Count]
    breaks: Mapped[Count]
    breaks_elsewhere: Mapped[Count] = mapped_column(comment="of these, in another currency")
    breaks_value: Mapped[Total]


class AccountFigure(Base):
    """Accounts of an agency that are alike in one respect: ``slice`` names it, ``part`` is what they are.

    All accounts by status; the open ones by risk level, days past due, and collector (the zero UUID: nobody).
    """

    __tablename__ = "account_figure"
    __table_args__ = (CheckConstraint("slice IN ('status', 'risk', 'aging', 'collector')", "slice"),)

    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    slice: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    accounts: Mapped[Count]
    placed: Mapped[Total]
    balance: Mapped[Total]


class DailyFigure(Base):
    """What happened on a day, of the agency's own time zone, by collector (the zero UUID: by nobody).

    Money is the collector's who had the account when it was taken, also when it goes back; contacts and
    promises are theirs who made them.
    """

    __tablename__ = "daily_figure"

    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    collector_id: Mapped[UUID] = mapped_column(primary_key=True)
    payments: Mapped[Count]
    received: Mapped[Total]
    refunded: Mapped[Total]
    charged_back: Mapped[Total]
    collected: Mapped[Total]
    owed_back: Mapped[Total]
    attempts: Mapped[Count]
    right_party: Mapped[Count]
    promises_kept: Mapped[Count]
    promises_broken: Mapped[Count]
