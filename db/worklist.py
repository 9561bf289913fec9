"""The worklist: queued accounts in order of value, a page as the JSON that callers get.

PostgreSQL builds the JSON of the rows: the list is read often, by people who wait for it. Its shape
is ``services.worklist.WorklistEntry``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from db.account_json import ACCOUNT_FIELDS
from db.account_lists import SEARCH_COUNTED, like_pattern
from domain.accounts import WORKABLE_STATUSES, AccountStatus
from domain.scoring import RiskLevel

if TYPE_CHECKING:
    from db.keyset import Position
    from domain.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """What a worklist is narrowed to; empty sequences mean any.

    ``search`` is a substring of reference, name, email or phone, in any case.
    """

    statuses: tuple[AccountStatus, ...] = ()
    risk_levels: tuple[RiskLevel, ...] = ()
    creditor_id: UUID | None = None
    search: str | None = None


EVERYTHING = WorklistFilter()


class Whose(NamedTuple):
    """Whose accounts: everybody's, those of one collector, or (``nobody``) those not yet assigned.

    ``narrowed``: which of them.
    """

    collector_id: UUID | None = None
    nobody: bool = False
    narrowed: WorklistFilter = EVERYTHING


SEARCH_PROBE = 5_000
"""Matches of a search that are looked up at once; a pattern that matches more is tested row by row."""


class Narrowing(NamedTuple):
    """What scores are narrowed to, as text: ``common`` to all, and any of the levels that are ``chosen``.

    Each level is walked by itself, in the order that its index has: among all, the accounts of a level that
    is seldom, or stands low, would be looked for one by one.
    """

    common: str
    chosen: tuple[str, ...] = ()

    @property
    def each(self) -> list[str]:
        """Conditions of which one account fits one at most, and all that are wanted fit one."""
        return [f"{self.common} AND level = '{level}'" for level in self.chosen] or [self.common]

    @property
    def whole(self) -> str:
        """All of it in one condition."""
        levels = ", ".join(f"'{level}'" for level in self.chosen)
        return f"{self.common} AND level IN ({levels})" if levels else self.common


class QueuedAccount(NamedTuple):
    """An account to be worked. ``rank`` and ``account_id`` are its place, ``json`` is how it is shown."""

    rank: int
    account_id: UUID
    json: str

    @property
    def key(self) -> tuple[int, UUID]:
        """What a cursor remembers."""
        return self.rank, self.account_id


class Reads(Protocol):
    """Reads that see the rows of one tenant's agency: each by itself, or all in one transaction."""

    @property
    def tenant(self) -> "Tenant": ...

    async def rows(self, statement: bytes, values: Mapping[str, Any]) -> list[tuple[Any, ...]]: ...


class WorklistStore:
    """The worklist of one agency."""

    def __init__(self, readings: Reads) -> None:
        self._readings = readings

    async def page(self, whose: Whose, position: "Position | None", limit: int) -> Sequence[QueuedAccount]:
        """At most ``limit`` queued accounts next to ``position`` (rank, account id), nearest first.

        In order of rank, the highest first, ties by account id; walking all pages gives every account
        that stays as it is exactly once.
        """
        found_ids = await self._search(whose.narrowed)
        statement, values = page_query(self._readings.tenant.agency_id, whose, position, limit, found_ids)
        found = rows_of(await self._readings.rows(statement, values))
        backward = position is not None and position.backward
        found.sort(key=lambda row: (-row.rank, row.account_id), reverse=backward)
        return found

    async def count(self, whose: Whose, at_most: int) -> tuple[int, bool]:
        """How many queued accounts there are, counted no further than ``at_most``; whether there may be more,
        for a search finds more accounts than were looked at.
        """
        narrowed = replace(whose.narrowed, search=None)
        owner, values = _narrowed(self._readings.tenant.agency_id, whose._replace(narrowed=narrowed), None)
        statement = _counted(owner.whole, at_most)
        if search := whose.narrowed.search:
            statement = _counted_of_found(owner.whole, at_most)
            values |= {"pattern": like_pattern(search), "at_most": SEARCH_COUNTED + 1}
        [(count, found)] = await self._readings.rows(statement, values)
        return count, found > SEARCH_COUNTED

    async def _search(self, wanted: WorklistFilter) -> list[UUID] | None:
        """The accounts that the search finds; None where it finds too many to name, or there is none."""
        if not wanted.search:
            return None
        values = {
            "agency": self._readings.tenant.agency_id,
            "pattern": like_pattern(wanted.search),
            "at_most": SEARCH_PROBE + 1,
        }
        found = [account_id for (account_id,) in await self._readings.rows(_SEARCH, values)]
        return found if len(found) <= SEARCH_PROBE else None


def rows_of(answer: Sequence[tuple[Any, ...]]) -> list[QueuedAccount]:
    """The accounts in the answer to a page's statement, in no particular order."""
    [(ranks, account_ids, lines)] = answer
    return list(map(QueuedAccount, ranks, account_ids, lines.split("\n"))) if ranks else []


def page_query(
    agency_id: UUID,
    whose: Whose,
    position: "Position | None",
    limit: int,
    found_ids: Sequence[UUID] | None = None,
) -> tuple[bytes, Mapping[str, Any]]:
    """The statement of a page and its values; ``rows_of`` reads its answer.

    ``found_ids``: what the search has found, where that is known.
    """
    owner, values = _narrowed(agency_id, whose, found_ids)
    if position is None:
        return _first(owner, limit), values
    values["rank"], values["account"] = position.key
    return _next(owner, limit, backward=position.backward), values


def _narrowed(
    agency_id: UUID, whose: Whose, found_ids: Sequence[UUID] | None
) -> tuple[Narrowing, dict[str, Any]]:
    """The condition on scores, and its values.

    Statuses, levels and the creditor are part of the text: the planner must know how rare they are.
    """
    values: dict[str, Any] = {"agency": agency_id}
    wanted, parts = whose.narrowed, []
    if whose.nobody:
        parts.append("collector_id IS NULL")
    elif whose.collector_id is not None:
        parts.append("collector_id = %(collector)s")
        values["collector"] = whose.collector_id
    parts += _of_accounts(wanted)
    if found_ids is not None:
        parts.append("account_score.account_id = ANY (%(found)s)")
        values["found"] = found_ids
    elif wanted.search:
        parts.append(_MATCHES)
        values["pattern"] = like_pattern(wanted.search)
    chosen = {level.value for level in wanted.risk_levels}
    levels = () if chosen == {level.value for level in RiskLevel} else tuple(sorted(chosen))
    return Narrowing(" AND ".join(parts) or "true", levels), values


def _of_accounts(wanted: WorklistFilter) -> list[str]:
    """The condition on the accounts of scores."""
    parts = []
    if wanted.statuses:
        queued = [status for status in wanted.statuses if status in WORKABLE_STATUSES]
        if not queued:
            return ["false"]
        parts.append(f"f.status IN ({_quoted(queued)})")
    if wanted.creditor_id is not None:
        parts.append(f"f.creditor_id = '{wanted.creditor_id}'")
    if not parts:
        return []
    conditions = " AND ".join(parts)
    of_score = "f.agency_id = %(agency)s AND f.id = account_score.account_id"
    return [f"EXISTS (SELECT FROM account f WHERE {of_score} AND {conditions})"]


def _quoted(names: Sequence[AccountStatus]) -> str:
    return ", ".join(f"'{name.value}'" for name in sorted(set(names)))


# A scalar subquery, for a semi-join would be planned as a scan of all documents.
_MATCHES = """(SELECT document LIKE lower(%(pattern)s) ESCAPE '\\' FROM account_search x
                WHERE x.account_id = account_score.account_id)"""

_FOUND = "search_accounts(%(agency)s, lower(%(pattern)s), %(at_most)s)"
_SEARCH = f"SELECT {_FOUND}".encode()

_SCORES = """SELECT account_id, rank, total, level, priority, high_priority FROM account_score
              WHERE agency_id = %(agency)s AND queued"""


@lru_cache
def _counted(owner: str, at_most: int) -> bytes:
    return f"SELECT ({_count(owner, at_most)}), 0".encode()


@lru_cache
def _counted_of_found(owner: str, at_most: int) -> bytes:
    count = _count(f"{owner} AND account_id IN (SELECT id FROM found)", at_most)
    return f"""
        WITH found AS MATERIALIZED (SELECT {_FOUND} AS id)
        SELECT ({count}), (SELECT count(*) FROM found)""".encode()


def _count(condition: str, at_most: int) -> str:
    return f"""SELECT count(*) FROM (
        SELECT FROM account_score WHERE agency_id = %(agency)s AND queued AND {condition}
         LIMIT {at_most:d}) counted"""


@lru_cache
def _first(owner: Narrowing, limit: int) -> bytes:
    return _shown(_walk(owner, "", "rank DESC, account_id", limit))


@lru_cache
def _next(owner: Narrowing, limit: int, *, backward: bool) -> bytes:
    """Accounts of the same rank are a range of the index, those of the ranks beyond it another.

    A comparison of rows would be one range, but needs both columns to run in the same direction. The
    inner limit is for the planner, which cannot guess the outer one.
    """
    beyond, ties, others, order = (
        ("<", "account_id DESC", "rank > %(rank)s", "rank, account_id DESC")
        if backward
        else (">", "account_id", "rank < %(rank)s", "rank DESC, account_id")
    )
    same_rank = f"rank = %(rank)s AND account_id {beyond} %(account)s"
    return _shown(f"""
        WITH ties AS MATERIALIZED ({_walk(owner, same_rank, ties, limit)})
        SELECT * FROM ties UNION ALL (
            SELECT * FROM ({_walk(owner, others, order, limit)}) others
             ORDER BY {order} LIMIT {limit:d} - (SELECT count(*) FROM ties))""")


def _walk(owner: Narrowing, where: str, order: str, limit: int) -> str:
    """The first scores in an order, of those that fit ``owner`` and ``where``."""
    # The limit is part of the text: the planner must know that it is small, also when it makes a plan
    # for all values at once.
    further = f" AND {where}" if where else ""
    walks = [f"{_SCORES} AND {one}{further} ORDER BY {order} LIMIT {limit:d}" for one in owner.each]
    if len(walks) == 1:
        return walks[0]
    return f"SELECT * FROM (({') UNION ALL ('.join(walks)})) walked ORDER BY {order} LIMIT {limit:d}"


_REASON = """
    concat_ws(' · ', s.level,
        CASE WHEN d.monthly_income <= 0 THEN 'no income'
             WHEN a.balance >= 10 * d.monthly_income
             THEN format('debt %%s× income', round(a.balance / d.monthly_income))
             WHEN a.balance > d.monthly_income
             THEN format('debt %%s× income', trim_scale(round(a.balance / d.monthly_income, 1))) END,
        CASE WHEN d.late_payments_count = 1 THEN '1 late payment'
             WHEN d.late_payments_count > 1 THEN format('%%s late payments', d.late_payments_count) END,
        CASE WHEN (SELECT status FROM promise WHERE agency_id = %(agency)s AND account_id = a.id
                    ORDER BY id DESC LIMIT 1) = 'broken' THEN 'promise broken' END,
        CASE WHEN (SELECT status FROM payment_plan WHERE agency_id = %(agency)s AND account_id = a.id
                    ORDER BY id DESC LIMIT 1) = 'broken' THEN 'plan broken' END,
        CASE WHEN s.high_priority THEN 'high priority' END)"""
"""The level, and what a person would say of it first: the debt beside the income, what was broken before.

``high priority`` is a priority score above the agency's threshold.
"""


def _shown(scores: str) -> bytes:
    """Scores as whole accounts. Each is looked up by key: there are few, however many the tables hold.

    One row comes back, its JSON in lines (JSON writes line breaks in text as escapes): PostgreSQL sends a
    row in one piece, but many of them in pieces of 8 kB, and waiting for each takes longer than it does.
    """
    return f"""
    SELECT array_agg(rank), array_agg(account_id), string_agg(line, E'\\n') FROM (
    SELECT s.rank, s.account_id, json_build_object({ACCOUNT_FIELDS},
        'reason', {_REASON})::text AS line
      FROM ({scores}) s
      CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = %(agency)s AND id = s.account_id LIMIT 1) a
      CROSS JOIN LATERAL (
        SELECT * FROM debtor WHERE agency_id = %(agency)s AND id = a.debtor_id LIMIT 1) d
      CROSS JOIN LATERAL (
        SELECT * FROM creditor WHERE agency_id = %(agency)s AND id = a.creditor_id LIMIT 1) c
      LEFT JOIN LATERAL (
        SELECT full_name FROM collector WHERE agency_id = %(agency)s AND id = a.assigned_to LIMIT 1) k
        ON true) page""".encode()
