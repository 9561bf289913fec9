"""Accounts by how many days they are past due, counted as the figures count them.

Conditions on the two dates themselves, which indexes know: few accounts among many are found without
walking the list of all.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Date,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Account, Agency
from domain.figures import FROM_DAY, LAST_DAY, AgingBucket

TODAY = select(cast(func.timezone(Agency.time_zone, func.now()), Date)).where(
    Agency.id == bindparam("agency")
)
"""The day that it is for an agency."""

_Column = InstrumentedAttribute[date | None]


def aged(buckets: Sequence[AgingBucket], today: date) -> ColumnElement[bool]:
    """The accounts that figures count in one of ``buckets`` on that day."""
    return or_(*(condition for bucket in buckets for _, condition in _ranges(bucket, today)))


def few_aged(buckets: Sequence[AgingBucket], today: date, at_most: int) -> Select[Any]:
    """The ids of these accounts as one array, which is null where there are more than ``at_most``.

    Each range is read in the order of its index: what is on the list besides does not matter.
    """
    ranges = [
        select(Account.id).where(condition).order_by(column).limit(at_most + 1).subquery()
        for bucket in buckets
        for column, condition in _ranges(bucket, today)
    ]
    ids = union_all(*(select(one.c.id) for one in ranges)).limit(at_most + 1).subquery()
    found = func.coalesce(func.array_agg(ids.c.id), cast([], ARRAY(Uuid)))
    return select(case((func.count() <= at_most, found)))


def _ranges(bucket: AgingBucket, today: date) -> Iterator[tuple[_Column, ColumnElement[bool]]]:
    """The accounts of a bucket by their due date, and without one by their charge-off.

    The days are part of the text: the planner must know how rare they are.
    """
    undated = Account.due_date.is_(None)
    if bucket is AgingBucket.UNKNOWN:
        yield Account.charge_off_date, and_(undated, Account.charge_off_date.is_(None))
        return
    yield Account.due_date, _between(Account.due_date, bucket, today)
    yield Account.charge_off_date, and_(undated, _between(Account.charge_off_date, bucket, today))


def _between(column: _Column, bucket: AgingBucket, today: date) -> ColumnElement[bool]:
    bounds: list[ColumnElement[bool]] = []
    if bucket in FROM_DAY:
        bounds.append(column <= _day(today - timedelta(FROM_DAY[bucket])))
    if bucket in LAST_DAY:
        bounds.append(column >= _day(today - timedelta(LAST_DAY[bucket])))
    return and_(*bounds)


def _day(day: date) -> BindParameter[date]:
    return bindparam(None, day, Date, literal_execute=True)
