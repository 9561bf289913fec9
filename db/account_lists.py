"""Lists of accounts: what they can be filtered by, their orders, and the queries of a page.

Every sort key is of a type whose comparisons are leakproof, so that row-level security leaves the
indexes usable: the time-ordered id stands for the time of creation, cents for amounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    and_,
    exists,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
)

from db.figures_sql import OWED_BACK, RIGHT_PARTY
from db.keyset import Position
from db.models import Account, AccountScore, AccountSearch, Contact, Promise
from domain.figures import AgingBucket

CLOCK_MARGIN = timedelta(hours=1)
"""How far the time in an account's id may lie from its ``created_at`` (the start of its transaction)."""

SEARCH_COUNTED = 20_000
"""Matches of a search that are looked at to count accounts."""


class AccountOrder(StrEnum):
    """Orders of an account list. Accounts without the value come last either way; ties go by id."""

    OLDEST = "created_at"
    NEWEST = "-created_at"
    BALANCE = "balance"
    BALANCE_DESC = "-balance"
    DUE_DATE = "due_date"
    DUE_DATE_DESC = "-due_date"
    PRIORITY = "priority_score"
    PRIORITY_DESC = "-priority_score"

    @property
    def descending(self) -> bool:
        return self.startswith("-")

    @property
    def by(self) -> str:
        return self.removeprefix("-")


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """What a list of accounts is narrowed to; bounds are inclusive, empty sequences mean any.

    ``promises``: those with a promise to pay in one of these statuses. ``right_party``: those of which
    somebody has spoken with the person themselves, in an attempt of the agency's. ``owed_back``: those of
    which money is owed back. ``aging``: those so many days past due on the agency's today.

    ``nobody``: those that are assigned to nobody. ``search`` is a substring of reference, name, email or
    phone, in any case.
    """

    statuses: Sequence[str] = ()
    collector_id: UUID | None = None
    creditor_id: UUID | None = None
    debtor_id: UUID | None = None
    min_balance: Decimal | None = None
    max_balance: Decimal | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    due_after: date | None = None
    due_before: date | None = None
    priorities: Sequence[int] = ()
    risk_levels: Sequence[str] = ()
    promises: Sequence[str] = ()
    right_party: bool = False
    owed_back: bool = False
    aging: Sequence[AgingBucket] = ()
    search: str | None = None
    nobody: bool = False

    @property
    def needs_score(self) -> bool:
        """Whether only scored accounts can match."""
        return bool(self.priorities or self.risk_levels)


def like_pattern(text: str) -> str:
    r"""The LIKE pattern of a substring: ``%``, ``_`` and ``\`` stand for themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def conditions(wanted: AccountFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter on account and score, all but the search and the aging."""
    found: list[ColumnElement[bool]] = []
    if wanted.statuses:
        found.append(Account.status.in_(wanted.statuses))
    if wanted.collector_id is not None:
        found.append(Account.assigned_to == wanted.collector_id)
    if wanted.nobody:
        found.append(Account.assigned_to.is_(None))
    if wanted.creditor_id is not None:
        found.append(Account.creditor_id == wanted.creditor_id)
    if wanted.debtor_id is not None:
        found.append(Account.debtor_id == wanted.debtor_id)
    if wanted.min_balance is not None:
        found.append(Account.balance_cents >= int(wanted.min_balance * 100))
    if wanted.max_balance is not None:
        found.append(Account.balance_cents <= int(wanted.max_balance * 100))
    if wanted.due_after is not None:
        found.append(Account.due_date >= wanted.due_after)
    if wanted.due_before is not None:
        found.append(Account.due_date <= wanted.due_before)
    if wanted.priorities:
        found.append(AccountScore.priority.in_(wanted.priorities))
    if wanted.risk_levels:
        found.append(AccountScore.level.in_(wanted.risk_levels))
    return found + _created(wanted) + _with(wanted)


def _with(wanted: AccountFilter) -> list[ColumnElement[bool]]:
    """What there must be on an account: semi-joins, which indexes of what there is little of can drive."""
    found: list[ColumnElement[bool]] = []
    if wanted.promises:
        found.append(
            exists().where(
                Promise.agency_id == Account.agency_id,
                Promise.account_id == Account.id,
                Promise.status.in_(wanted.promises),
            )
        )
    if wanted.right_party:
        found.append(
            exists().where(
                Contact.agency_id == Account.agency_id, Contact.account_id == Account.id, text(RIGHT_PARTY)
            )
        )
    if wanted.owed_back:
        found.append(_IS_OWED_BACK)
    return found


_IS_OWED_BACK: ColumnElement[bool] = literal_column(
    f"""(account.agency_id, account.id) IN (
        SELECT p.agency_id, p.account_id FROM posting p
         WHERE p.debit IN {OWED_BACK} OR p.credit IN {OWED_BACK}
         GROUP BY p.agency_id, p.account_id
        HAVING sum(CASE WHEN p.credit IN {OWED_BACK} THEN p.amount ELSE 0 END)
             > sum(CASE WHEN p.debit IN {OWED_BACK} THEN p.amount ELSE 0 END))""",
    Boolean,
)


def _created(wanted: AccountFilter) -> list[ColumnElement[bool]]:
    """Bounds of ``created_at``, and of the ids that rows of that time have, which an index knows."""
    found: list[ColumnElement[bool]] = []
    if wanted.created_after is not None:
        found.append(Account.created_at >= wanted.created_after)
        found.append(Account.id >= _first_id(wanted.created_after, -CLOCK_MARGIN))
    if wanted.created_before is not None:
        found.append(Account.created_at <= wanted.created_before)
        found.append(Account.id <= _first_id(wanted.created_before, CLOCK_MARGIN))
    return found


_LAST_MILLISECOND = (1 << 48) - 1


def _first_id(at: datetime, shift: timedelta) -> UUID:
    """The smallest version 7 UUID of ``at + shift``: its first 48 bits are Unix milliseconds."""
    since = (at - datetime(1970, 1, 1, tzinfo=UTC)) + shift
    milliseconds = min(max(since // timedelta(milliseconds=1), 0), _LAST_MILLISECOND)
    return UUID(int=milliseconds << 80)


def matches(pattern: str) -> ColumnElement[bool]:
    """That an account's search document is like ``pattern``, looked up account by account.

    For patterns that so many accounts match that walking the list finds a page of them soon. A
    scalar subquery, for a semi-join would be planned as a scan of all documents.
    """
    return (
        select(AccountSearch.document.like(func.lower(pattern), escape="\\"))
        .where(AccountSearch.account_id == Account.id)
        .scalar_subquery()
    )


def segments(order: AccountOrder, wanted: AccountFilter, position: Position | None) -> list[bool]:
    """The parts of a list still to be read, in reading order: True with the sort key, False without.

    Accounts that lack the key come after all others, so a page may take from both parts.
    """
    if order.by in {"created_at", "balance"} or (order.by == "priority_score" and wanted.needs_score):
        return [True]
    if order.by == "due_date" and (wanted.due_after or wanted.due_before):
        return [True]
    if position is None:
        return [True, False]
    keyed = position.key[0] is not None
    if position.backward:
        return [True] if keyed else [False, True]
    return [True, False] if keyed else [False]


def page_query(
    order: AccountOrder,
    wanted: AccountFilter,
    found: Sequence[ColumnElement[bool]],
    *,
    keyed: bool,
    position: Position | None,
    backward: bool,
    limit: int,
) -> Select[UUID]:
    """The ids of one part of a page in reading order, from ``position`` on (None: from its edge).

    ``found``: the conditions of the search and the aging.
    """
    columns = _keys(order, keyed=keyed)
    query = _source(order, wanted, keyed=keyed).where(*conditions(wanted), *found)
    ascending = order.descending == backward
    if position is not None:
        key = position.key[-len(columns) :]
        row = tuple_(*columns)
        query = query.where(row > key if ascending else row < key)
    return query.order_by(*(c.asc() if ascending else c.desc() for c in columns)).limit(limit)


def count_query(
    agency_id: UUID, wanted: AccountFilter, aging: Sequence[ColumnElement[bool]], at_most: int
) -> Select[int, int]:
    """How many accounts a list has, counted to ``at_most`` only, and how many its search finds, counted
    no further than one more than ``SEARCH_COUNTED``. ``aging``: the condition of that.
    """
    # With scores alone, the accounts need not be looked up.
    scores_only = wanted.needs_score and wanted == AccountFilter(
        priorities=wanted.priorities, risk_levels=wanted.risk_levels
    )
    source = (
        select(AccountScore.account_id) if scores_only else _source(AccountOrder.NEWEST, wanted, keyed=True)
    )
    source = source.where(*conditions(wanted), *aging)
    matching: Any = literal(0)
    if wanted.search:
        pattern, most = func.lower(like_pattern(wanted.search)), SEARCH_COUNTED + 1
        found = select(func.search_accounts(agency_id, pattern, most).label("id")).cte("found")
        source = source.where(Account.id.in_(select(found.c.id)))
        matching = select(func.count()).select_from(found).scalar_subquery()
    counted = select(func.count()).select_from(source.limit(at_most).subquery()).scalar_subquery()
    return select(counted, matching)


def _keys(order: AccountOrder, *, keyed: bool) -> list[Any]:
    if order.by == "created_at" or not keyed:
        return [Account.id]
    if order.by == "balance":
        return [Account.balance_cents, Account.id]
    if order.by == "due_date":
        return [Account.due_date, Account.id]
    return [AccountScore.rank, AccountScore.account_id]


def _source(order: AccountOrder, wanted: AccountFilter, *, keyed: bool) -> Select[UUID]:
    """The accounts of one part of a list, joined with their scores where these are asked about."""
    joined = and_(AccountScore.account_id == Account.id, AccountScore.agency_id == Account.agency_id)
    query = select(Account.id)
    if order.by == "priority_score":
        if keyed:
            return query.join(AccountScore, joined)
        return query.where(~exists().where(AccountScore.account_id == Account.id))
    if order.by == "due_date":
        query = query.where(Account.due_date.is_not(None) if keyed else Account.due_date.is_(None))
    return query.join(AccountScore, joined) if wanted.needs_score else query
