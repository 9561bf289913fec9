"""Accounts by the thousand, as the JSON that their lists show: for whoever reads all of a list."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Label, Select, Subquery, and_, func, literal_column, select, true
from sqlalchemy.sql.selectable import LateralFromClause

from db.account_json import ACCOUNT_FIELDS
from db.account_lists import AccountFilter, AccountOrder, page_query, segments
from db.accounts import AccountStore
from db.keyset import Position
from db.models import Account, AccountScore, Base, Collector, Creditor, Debtor


class AccountLine(NamedTuple):
    """An account: its place in the list's order, and how the list shows it."""

    key: tuple[Any, ...]
    json: str


class AccountExportStore(AccountStore):
    """What ``page`` gives, chosen by the same conditions and in the same order, without its objects: these
    take longer to make than PostgreSQL needs for all the rest.
    """

    async def lines(
        self, wanted: AccountFilter, order: AccountOrder, position: Position | None, limit: int
    ) -> Sequence[AccountLine]:
        """At most ``limit`` accounts behind ``position``, which is not one to go back from."""
        found_by = [*await self._search(wanted.search), *await self._aged(wanted)]
        found: list[AccountLine] = []
        for part, keyed in enumerate(segments(order, wanted, position)):
            ids = page_query(
                order,
                wanted,
                found_by,
                keyed=keyed,
                position=position if part == 0 else None,
                backward=False,
                limit=limit - len(found),
            ).subquery()
            lines = await self._lines_of(_shown(ids), order)
            lines.sort(key=lambda line: line.key, reverse=order.descending)
            found += lines
            if len(found) >= limit:
                break
        return found

    async def _lines_of(self, shown: Select[*tuple[Any, ...]], order: AccountOrder) -> list[AccountLine]:
        """The rows of ``shown``, which come as one: see ``db.worklist`` on why."""
        page = shown.subquery()
        names = _KEYS[order.by]
        keys = [func.array_agg(page.c[name]) for name in names]
        answer = await self._session.execute(select(func.string_agg(page.c.json, "\n"), *keys))
        text, *parts = answer.one()
        return list(map(AccountLine, zip(*parts, strict=True), text.split("\n"))) if text else []


def _shown(ids: Subquery) -> Select[*tuple[Any, ...]]:
    """The accounts of these ids, each looked up by its key: to the planner a page is as good as the whole
    table, which it would read for every page. A limit keeps a lookup from becoming a join.
    """
    a = _by_key(Account, Account.id == ids.c.id, "a")
    c = _by_key(Creditor, and_(Creditor.agency_id == a.c.agency_id, Creditor.id == a.c.creditor_id), "c")
    d = _by_key(Debtor, and_(Debtor.agency_id == a.c.agency_id, Debtor.id == a.c.debtor_id), "d")
    k = _by_key(Collector, and_(Collector.agency_id == a.c.agency_id, Collector.id == a.c.assigned_to), "k")
    s = _by_key(AccountScore, AccountScore.account_id == a.c.id, "s")
    shown: Label[str] = literal_column(_JSON).label("json")
    each = ids.join(a, true()).join(c, true()).join(d, true()).outerjoin(k, true()).outerjoin(s, true())
    return select(shown, a.c.id, a.c.balance_cents, a.c.due_date, s.c.rank).select_from(each)


def _by_key(table: type[Base], condition: ColumnElement[bool], name: str) -> LateralFromClause:
    return select(table).where(condition).limit(1).lateral(name)


_JSON = f"json_build_object({ACCOUNT_FIELDS})::text"


_KEYS: Mapping[str, tuple[str, ...]] = {
    "created_at": ("id",),
    "balance": ("balance_cents", "id"),
    "due_date": ("due_date", "id"),
    "priority_score": ("rank", "id"),
}
"""By what a list is ordered: the columns of ``_shown`` that ``db.accounts.position_key`` is made of."""
