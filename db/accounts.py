"""Accounts: lists, single accounts and new ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, and_, any_, cast, false, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.account_aging import TODAY, aged, few_aged
from db.account_lists import (
    SEARCH_COUNTED,
    AccountFilter,
    AccountOrder,
    count_query,
    like_pattern,
    matches,
    page_query,
    segments,
)
from db.keyset import Position
from db.models import Account, AccountScore, Collector, Creditor, Debtor
from db.store import Store
from domain.errors import NotFound
from domain.holds import STOPS_WORK_ON_ALL

SEARCH_PROBE = 5000
"""Matches of a search that are looked up at once; a pattern that matches more is tested row by row."""

AGED_PROBE = 2000
"""Accounts so many days past due that are looked up at once; of more, a page is found soon by walking."""

SEARCH_DOCUMENT = r"lower(concat_ws(E'\n', a.external_ref, d.full_name, d.email, d.phone))"
"""What the search looks at, of an account ``a`` and its debtor ``d``; nobody can type a line break."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account with what is shown beside it. ``score`` is None until it was scored."""

    account: Account
    creditor: Creditor
    debtor: Debtor
    collector: Collector | None
    score: AccountScore | None


@dataclass(frozen=True, slots=True)
class AccountName:
    """What people know an account by."""

    external_ref: str
    debtor_name: str


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account as it is placed: its balance is the original amount, in ``currency``."""

    creditor_id: UUID
    debtor_id: UUID
    external_ref: str
    original_amount: Decimal
    currency: str
    account_type: str | None = None
    due_date: date | None = None
    charge_off_date: date | None = None
    last_payment_date: date | None = None
    itemization_date: date | None = None


def position_key(view: AccountView, order: AccountOrder) -> tuple[Any, ...]:
    """The key of an account in ``order``: what a cursor remembers."""
    account_id = view.account.id
    match order.by:
        case "balance":
            return (view.account.balance_cents, account_id)
        case "due_date":
            return (view.account.due_date, account_id)
        case "priority_score":
            return (view.score.rank if view.score else None, account_id)
        case _:
            return (account_id,)


class AccountStore(Store):
    """Accounts of one agency."""

    async def page(
        self, wanted: AccountFilter, order: AccountOrder, position: Position | None, limit: int
    ) -> Sequence[AccountView]:
        """At most ``limit`` accounts next to ``position``, nearest first.

        Walking all pages gives every account that stays as it is exactly once, whatever is inserted
        meanwhile.
        """
        found_by = [*await self._search(wanted.search), *await self._aged(wanted)]
        backward = position is not None and position.backward
        views: list[AccountView] = []
        for part, keyed in enumerate(segments(order, wanted, position)):
            ids = page_query(
                order,
                wanted,
                found_by,
                keyed=keyed,
                position=position if part == 0 else None,
                backward=backward,
                limit=limit - len(views),
            ).subquery()
            found = await self._views(_VIEW.join(ids, ids.c.id == Account.id))
            found.sort(key=lambda view: position_key(view, order), reverse=order.descending != backward)
            views += found
            if len(views) >= limit:
                break
        return views

    async def count(self, wanted: AccountFilter, at_most: int) -> tuple[int, bool]:
        """How many accounts there are, counted no further than ``at_most``; whether there may be more, for a
        search finds more accounts than were looked at.
        """
        query = count_query(self._agency_id, wanted, await self._aged(wanted), at_most)
        count, found = (await self._session.execute(query)).one()
        return count, found > SEARCH_COUNTED

    async def _search(self, wanted: str | None) -> list[ColumnElement[bool]]:
        if not wanted:
            return []
        pattern = like_pattern(wanted)
        probe = await self._session.execute(
            _SEARCH, {"agency": self._agency_id, "pattern": pattern, "at_most": SEARCH_PROBE + 1}
        )
        ids = probe.scalars().all()
        if not ids:
            return [false()]
        return [Account.id.in_(ids) if len(ids) <= SEARCH_PROBE else matches(pattern)]

    async def _aged(self, wanted: AccountFilter) -> list[ColumnElement[bool]]:
        if not wanted.aging:
            return []
        today = (await self._session.scalars(TODAY, {"agency": self._agency_id})).one()
        ids: list[UUID] | None = await self._session.scalar(few_aged(wanted.aging, today, AGED_PROBE))
        return [aged(wanted.aging, today) if ids is None else Account.id == any_(cast(ids, ARRAY(Uuid)))]

    async def _views(
        self, query: Select[Account, Creditor, Debtor, Collector, AccountScore]
    ) -> list[AccountView]:
        return [AccountView(*row) for row in await self._session.execute(query)]

    async def get(self, account_id: UUID) -> AccountView | None:
        """One account, or None when it is not there or not this agency's."""
        views = await self._views(_VIEW.where(Account.id == account_id))
        return views[0] if views else None

    async def collector_of(self, account_id: UUID) -> UUID | None:
        """Whom an account is assigned to. ``NotFound``."""
        found = await self._fetch(_COLLECTOR_OF, {"agency": self._agency_id, "account": account_id})
        if not found:
            raise NotFound("there is no such account")
        collector_id: UUID | None = found[0][0]
        return collector_id

    async def names(
        self, account_ids: Collection[UUID], only_for: UUID | None = None
    ) -> dict[UUID, AccountName]:
        """What these accounts are known by, those that are there; ``only_for``: of a collector's accounts."""
        query = (
            select(Account.id, Account.external_ref, Debtor.full_name)
            .join(Debtor, and_(Debtor.agency_id == Account.agency_id, Debtor.id == Account.debtor_id))
            .where(Account.agency_id == self._agency_id, Account.id.in_(account_ids))
        )
        if only_for is not None:
            query = query.where(Account.assigned_to == only_for)
        rows = await self._session.execute(query)
        return {account_id: AccountName(reference, name) for account_id, reference, name in rows}

    async def id_of(self, creditor_id: UUID, external_ref: str) -> UUID | None:
        """The account that a creditor placed under a reference."""
        found: UUID | None = await self._session.scalar(
            select(Account.id).where(
                Account.agency_id == self._agency_id,
                Account.creditor_id == creditor_id,
                Account.external_ref == external_ref,
            )
        )
        return found

    async def add(self, new: NewAccount) -> UUID | None:
        """Insert an account with its search document; None when the creditor placed it before.

        The placement is posted by ``LedgerStore.place`` in the same transaction. What holds the person,
        whom the caller has locked, holds the new account, too.
        """
        values = {name: getattr(new, name) for name in NewAccount.__slots__}
        held = await self._session.scalar(
            _HELD, {"agency": self._agency_id, "debtor": new.debtor_id, "personal": PERSONAL_HOLDS}
        )
        account_id: UUID | None = await self._session.scalar(
            upsert(Account)
            .values(agency_id=self._agency_id, balance=new.original_amount, held=held, **values)
            .on_conflict_do_nothing(index_elements=["agency_id", "creditor_id", "external_ref"])
            .returning(Account.id)
        )
        if account_id is None:
            return None
        await self._session.execute(_INDEX_ONE, {"account": account_id})
        return account_id

    async def index_debtor(self, debtor_id: UUID) -> None:
        """Bring the search documents of all accounts of a debtor up to date with the debtor's row."""
        await self._session.execute(_INDEX_DEBTOR, {"debtor": debtor_id})

    async def of_debtor(self, debtor_id: UUID) -> Sequence[UUID]:
        """The ids of a debtor's accounts, oldest first."""
        found = await self._session.scalars(
            select(Account.id).where(Account.debtor_id == debtor_id).order_by(Account.id)
        )
        return found.all()


PERSONAL_HOLDS = sorted(STOPS_WORK_ON_ALL)

PERSON_IS_HELD = """EXISTS (
        SELECT FROM hold h WHERE h.agency_id = :agency AND h.debtor_id = {debtor}
           AND h.released_at IS NULL AND h.kind = ANY(:personal))"""
"""Whether a debtor is bankrupt, dead or in service, so that none of their accounts is worked.

``:personal`` are ``PERSONAL_HOLDS``.
"""

_COLLECTOR_OF = b"SELECT assigned_to FROM account WHERE agency_id = %(agency)s AND id = %(account)s"

_HELD = text(f"SELECT {PERSON_IS_HELD.format(debtor=':debtor')}")

_VIEW = (
    select(Account, Creditor, Debtor, Collector, AccountScore)
    .join(Creditor, and_(Creditor.agency_id == Account.agency_id, Creditor.id == Account.creditor_id))
    .join(Debtor, and_(Debtor.agency_id == Account.agency_id, Debtor.id == Account.debtor_id))
    .outerjoin(Collector, and_(Collector.agency_id == Account.agency_id, Collector.id == Account.assigned_to))
    .outerjoin(
        AccountScore,
        and_(AccountScore.agency_id == Account.agency_id, AccountScore.account_id == Account.id),
    )
)

_SEARCH = text(
    "SELECT search_accounts(CAST(:agency AS uuid), lower(CAST(:pattern AS text)), CAST(:at_most AS integer))"
)

_WITH_DEBTOR = "FROM account a JOIN debtor d ON d.agency_id = a.agency_id AND d.id = a.debtor_id"

INDEX_ACCOUNTS = """
    INSERT INTO account_search (account_id, agency_id, document, debtor_version)
    SELECT a.id, a.agency_id, {document}, d.version {accounts} ORDER BY a.id
    ON CONFLICT (account_id) DO UPDATE
       SET document = excluded.document, debtor_version = excluded.debtor_version
     WHERE excluded.debtor_version >= account_search.debtor_version
       AND account_search.document <> excluded.document
"""
"""Writes the search documents of ``accounts`` (a FROM clause with account ``a`` and debtor ``d``).

An import may index an account with the debtor as it read them while somebody corrects that debtor: the newer
of the two stays, whoever comes last.
"""

_INDEX_ONE = text(
    INDEX_ACCOUNTS.format(document=SEARCH_DOCUMENT, accounts=f"{_WITH_DEBTOR} WHERE a.id = :account")
)
_INDEX_DEBTOR = text(
    INDEX_ACCOUNTS.format(document=SEARCH_DOCUMENT, accounts=f"{_WITH_DEBTOR} WHERE a.debtor_id = :debtor")
)
