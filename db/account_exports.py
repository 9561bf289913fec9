"""Accounts by the thousand, as the JSON that their lists show: for whoever reads all of a list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Select, and_, func, literal_column, select
from sqlalchemy.orm import aliased

from db.account_json import ACCOUNT_FIELDS
from db.account_lists import AccountFilter, AccountOrder, page_query, segments
from db.accounts import AccountStore
from db.keyset import Position
from db.models import Account, AccountScore, Collector, Creditor, Debtor

if TYPE_CHECKING:
    from uuid import UUID


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
        search = await self._search(wanted.search)
        found: list[AccountLine] = []
        for part, keyed in enumerate(segments(order, wanted, position)):
            ids = page_query(
                order,
                wanted,
                search,
                keyed=keyed,
                position=position if part == 0 else None,
                backward=False,
                limit=limit - len(found),
            ).subquery()
            rows = await self._session.execute(_SHOWN.join(ids, ids.c.id == _A.id))
            lines = [AccountLine(_key(order, row), row.json) for row in rows]
            lines.sort(key=lambda line: line.key, reverse=order.descending)
            found += lines
            if len(found) >= limit:
                break
        return found

    async def count(self, wanted: AccountFilter) -> int:
        """How many accounts there are of these."""
        search = await self._search(wanted.search)
        order = AccountOrder.NEWEST
        query = page_query(order, wanted, search, keyed=True, position=None, backward=False, limit=1)
        chosen = query.order_by(None).limit(None).subquery()
        return await self._session.scalar(select(func.count()).select_from(chosen)) or 0


_A = aliased(Account, name="a")
_C = aliased(Creditor, name="c")
_D = aliased(Debtor, name="d")
_K = aliased(Collector, name="k")
_S = aliased(AccountScore, name="s")

_SHOWN: Select[*tuple[Any, ...]] = (
    select(
        literal_column(f"json_build_object({ACCOUNT_FIELDS})::text").label("json"),
        _A.id,
        _A.balance_cents,
        _A.due_date,
        _S.rank,
    )
    .join(_C, and_(_C.agency_id == _A.agency_id, _C.id == _A.creditor_id))
    .join(_D, and_(_D.agency_id == _A.agency_id, _D.id == _A.debtor_id))
    .outerjoin(_K, and_(_K.agency_id == _A.agency_id, _K.id == _A.assigned_to))
    .outerjoin(_S, and_(_S.agency_id == _A.agency_id, _S.account_id == _A.id))
)


def _key(order: AccountOrder, row: Any) -> tuple[Any, ...]:
    """As ``db.accounts.position_key``, of a row."""
    account_id: UUID = row.id
    match order.by:
        case "balance":
            return (row.balance_cents, account_id)
        case "due_date":
            return (row.due_date, account_id)
        case "priority_score":
            return (row.rank, account_id)
        case _:
            return (account_id,)
