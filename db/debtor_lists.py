"""Lists of debtors: all of them, those at high risk, and what their accounts come to.

Debtors at high risk are walked in the order of ``account_score``'s index on the rank; what belongs to
an account is looked up by key one by one, so that no statement depends on statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, func, or_, select, text

from db.account_lists import like_pattern
from db.keyset import Position, newest_first
from db.models import Account, AccountScore, AccountSearch, Debtor
from db.models import Scorecard as ScorecardRow
from db.store import Store
from domain.scoring.scores import URGENT_LEVELS, RiskLevel

SEARCH_PROBE = 5000
"""Matches of a search that are looked up at once; a pattern that matches more is tested row by row."""


@dataclass(frozen=True, slots=True)
class DebtorFilter:
    """What a list of debtors is narrowed to; empty sequences mean any.

    ``search`` is a substring, in any case, of name, email, phone or the reference of one of the
    debtor's accounts; or the beginning of ``debtor_ref`` as it is written. With a collector only
    debtors of accounts assigned to them.
    """

    search: str | None = None
    debtor_ref: str | None = None
    employment_statuses: Sequence[str] = ()
    states: Sequence[str] = ()
    collector_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class HighRiskFilter:
    """Which accounts make a debtor one at high risk."""

    levels: Sequence[str] = tuple(sorted(URGENT_LEVELS))
    min_priority: int = 0
    collector_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """What a debtor's accounts come to. ``open`` are neither settled nor closed.

    ``highest_risk`` is that of the accounts on which something is owed, None where there is none.
    """

    count: int = 0
    open: int = 0
    total_balance: Decimal = Decimal(0)
    highest_risk: RiskLevel | None = None


@dataclass(frozen=True, slots=True)
class ScoredAccount:
    """An account, its stored score and the scorecard version that this was made by (None: not scored)."""

    account: Account
    score: AccountScore | None
    scorecard: ScorecardRow | None


@dataclass(frozen=True, slots=True)
class HighRiskDebtor:
    """A debtor and the most valuable of the accounts that make them one at high risk."""

    debtor: Debtor
    account: Account
    score: AccountScore

    @property
    def key(self) -> tuple[int, UUID]:
        """What a cursor remembers."""
        return (self.score.rank, self.score.account_id)


class DebtorListStore(Store):
    """Lists of one agency's debtors."""

    async def page(self, wanted: DebtorFilter, position: Position | None, limit: int) -> Sequence[Debtor]:
        """At most ``limit`` debtors next to a position ``(id,)``, nearest first; newest first without."""
        query = select(Debtor).where(Debtor.agency_id == self._agency_id, *_conditions(wanted))
        if wanted.search:
            query = query.where(await self._found(wanted.search))
        return (await self._session.scalars(newest_first(query, (Debtor.id,), position, limit))).all()

    async def _found(self, wanted: str) -> ColumnElement[bool]:
        pattern = like_pattern(wanted)
        reference = f"ref:{pattern.removeprefix('%')}"
        probe = await self._session.execute(
            _SEARCH,
            {
                "agency": self._agency_id,
                "pattern": pattern,
                "reference": reference,
                "at_most": SEARCH_PROBE + 1,
            },
        )
        ids = probe.scalars().all()
        if len(ids) <= SEARCH_PROBE:
            return Debtor.id.in_(set(ids)) if ids else false()
        return _matches(pattern, reference)

    async def totals(
        self, debtor_ids: Sequence[UUID], collector_id: UUID | None = None
    ) -> Mapping[UUID, AccountTotals]:
        """What the accounts of these debtors come to, or those that are assigned to one collector."""
        if not debtor_ids:
            return {}
        query = (
            select(
                Account.debtor_id,
                func.count(),
                func.count().filter(Account.status.not_in(("settled", "closed"))),
                func.sum(Account.balance),
                func.max(func.array_position(list(RiskLevel), AccountScore.level)).filter(_OWED),
            )
            .outerjoin(AccountScore, _SCORE_OF_ACCOUNT)
            .where(Account.agency_id == self._agency_id, Account.debtor_id.in_(debtor_ids))
            .group_by(Account.debtor_id)
        )
        if collector_id is not None:
            query = query.where(Account.assigned_to == collector_id)
        return {
            debtor_id: AccountTotals(
                count, still_open, balance, list(RiskLevel)[level - 1] if level else None
            )
            for debtor_id, count, still_open, balance, level in await self._session.execute(query)
        }

    async def accounts(
        self, debtor_id: UUID, *, collector_id: UUID | None = None, limit: int
    ) -> Sequence[ScoredAccount]:
        """At most ``limit`` of a debtor's accounts, or of those assigned to one collector.

        The most valuable come first, those never scored last.
        """
        query = (
            select(Account, AccountScore, ScorecardRow)
            .outerjoin(AccountScore, _SCORE_OF_ACCOUNT)
            .outerjoin(ScorecardRow, ScorecardRow.id == AccountScore.scorecard_id)
            .where(Account.agency_id == self._agency_id, Account.debtor_id == debtor_id)
            .order_by(AccountScore.rank.desc().nulls_last(), Account.id)
            .limit(limit)
        )
        if collector_id is not None:
            query = query.where(Account.assigned_to == collector_id)
        return [ScoredAccount(*row) for row in await self._session.execute(query)]

    async def high_risk(
        self, wanted: HighRiskFilter, position: Position | None, limit: int
    ) -> Sequence[HighRiskDebtor]:
        """At most ``limit`` debtors next to a position ``(rank, account id)``, nearest first.

        Each comes once, at the most valuable of their accounts that are of one of the levels, not
        closed and not paid; ties go by the account's id.
        """
        backward = position is not None and position.backward
        values: dict[str, Any] = {
            "agency": self._agency_id,
            "levels": list(wanted.levels),
            "priority": wanted.min_priority,
            "limit": limit,
        }
        if wanted.collector_id is not None:
            values["collector"] = wanted.collector_id
        if position is not None:
            values["rank"], values["account"] = position.key
        statement = _high_risk(
            mine=wanted.collector_id is not None, started=position is not None, backward=backward
        )
        ids = (await self._session.scalars(text(statement), values)).all()
        query = (
            select(Debtor, Account, AccountScore)
            .join(Account, and_(Account.agency_id == Debtor.agency_id, Account.debtor_id == Debtor.id))
            .join(AccountScore, _SCORE_OF_ACCOUNT)
            .where(Account.id.in_(ids))
        )
        found = {row[1].id: HighRiskDebtor(*row) for row in await self._session.execute(query)}
        return [found[account_id] for account_id in ids]


_SCORE_OF_ACCOUNT = and_(AccountScore.agency_id == Account.agency_id, AccountScore.account_id == Account.id)
_OWED = and_(Account.status != "closed", Account.balance > 0)

_SEARCH = text("""
    SELECT search_debtors(CAST(:agency AS uuid), lower(CAST(:pattern AS text)), CAST(:reference AS text),
                          CAST(:at_most AS integer))
""")


def _conditions(wanted: DebtorFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.debtor_ref is not None:
        found.append(Debtor.natural_key == f"ref:{wanted.debtor_ref}")
    if wanted.employment_statuses:
        found.append(Debtor.employment_status.in_(wanted.employment_statuses))
    if wanted.states:
        found.append(Debtor.state.in_(wanted.states))
    if wanted.collector_id is not None:
        theirs = select(Account.debtor_id).where(
            Account.agency_id == Debtor.agency_id, Account.assigned_to == wanted.collector_id
        )
        found.append(Debtor.id.in_(theirs))
    return found


def _matches(pattern: str, reference: str) -> ColumnElement[bool]:
    """That a debtor matches a search, tested debtor by debtor: for patterns that very many match."""
    lowered = func.lower(pattern)
    own = func.lower(func.concat_ws("\n", Debtor.full_name, Debtor.email, Debtor.phone))
    documents = (
        select(func.bool_or(AccountSearch.document.like(lowered, escape="\\")))
        .join(Account, Account.id == AccountSearch.account_id)
        .where(Account.debtor_id == Debtor.id)
        .scalar_subquery()
    )
    return or_(
        own.like(lowered, escape="\\"),
        Debtor.natural_key.like(reference, escape="\\"),
        func.coalesce(documents, False),
    )


def _high_risk(*, mine: bool, started: bool, backward: bool) -> str:
    """The statement for the ids of accounts. OFFSET 0 keeps lookups by key from being planned as joins.

    All accounts are walked in order of rank; a collector's, who are few, are read whole and sorted.
    """
    own = " AND {a}.assigned_to = :collector" if mine else ""
    urgent = (
        "{s}.level = ANY(:levels) AND {s}.priority >= :priority AND {a}.status <> 'closed'"
        f" AND {{a}}.balance_cents > 0{own}"
    )
    source = _ACCOUNTS_OF_COLLECTOR if mine else _ACCOUNTS_BY_RANK
    side = ""
    if started and backward:
        side = "AND s.rank >= :rank AND (s.rank > :rank OR s.account_id < :account)"
    elif started:
        side = "AND s.rank <= :rank AND (s.rank < :rank OR s.account_id > :account)"
    order = "s.rank ASC, s.account_id DESC" if backward else "s.rank DESC, s.account_id ASC"
    return f"""
    SELECT s.account_id
      FROM {source}
     WHERE s.agency_id = :agency AND {urgent.format(s="s", a="a")} {side}
       AND NOT EXISTS (
        SELECT FROM account b JOIN account_score t ON t.account_id = b.id
         WHERE b.debtor_id = a.debtor_id AND {urgent.format(s="t", a="b")}
           AND (t.rank > s.rank OR (t.rank = s.rank AND t.account_id < s.account_id)) OFFSET 0)
     ORDER BY {order} LIMIT :limit"""


_ACCOUNTS_BY_RANK = """account_score s
      CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND id = s.account_id LIMIT 1) a"""
_ACCOUNTS_OF_COLLECTOR = """(
        SELECT * FROM account WHERE agency_id = :agency AND assigned_to = :collector OFFSET 0) a
      CROSS JOIN LATERAL (
        SELECT * FROM account_score WHERE account_id = a.id LIMIT 1) s"""
