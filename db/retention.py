"""Which months of the tables by month are still needed. Reads only: nothing here takes a row away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from db.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

BY_ACCOUNT = {"account_score_history": "scored_at", "timeline_event": "at"}
"""Tables by month whose rows are each about one account, and the column that says when."""

OF_EVERYTHING = "audit_record"
"""The table by month whose rows may be about anything."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A table's month; ``month`` is its first day, in UTC."""

    table: str
    name: str
    month: date


@dataclass(frozen=True, slots=True)
class MonthOfAccounts:
    """Rows of a table in a month, and how many accounts they are about, of those that are kept for one
    ``reason``; None: of those that need not be kept.
    """

    table: str
    month: date
    reason: str | None
    rows: int
    accounts: int


async def partitions(session: "AsyncSession") -> Sequence[Partition]:
    """Every partition by month, the oldest first."""
    return [Partition(*row) for row in await session.execute(_PARTITIONS)]


class RetentionStore(Store):
    """What one agency's accounts keep."""

    async def months(self, before: datetime) -> Sequence[MonthOfAccounts]:
        """Months of rows about accounts from ``before``, by why each account is kept. An account is kept
        that is not closed, is held, disputed, being paid or reconciled, or where anything happened since
        ``before``; so are the rows of one that is not there.
        """
        found = []
        for table, column in BY_ACCOUNT.items():
            statement = text(_MONTHS.format(table=table, at=column, reason=_REASON))
            values = {"agency": self._agency_id, "before": before}
            for month, reason, rows, accounts in await self._session.execute(statement, values):
                found.append(MonthOfAccounts(table, month, reason, rows, accounts))
        return found

    async def oldest_kept(self, before: datetime) -> datetime | None:
        """When the oldest account was placed that is kept; None when none is."""
        statement = text(_OLDEST.format(reason=_REASON))
        oldest: datetime | None = await self._session.scalar(
            statement, {"agency": self._agency_id, "before": before}
        )
        return oldest

    async def audited(self, before: datetime) -> dict[date, int]:
        """Audit records of the agency from ``before``, by month."""
        rows = await self._session.execute(_AUDITED, {"agency": self._agency_id, "before": before})
        return {month: count for month, count in rows}  # noqa: C416 - rows are no pairs to a type checker


_PARTITIONS = text("""
    SELECT parent.relname, part.relname, to_date(right(part.relname, 7), 'YYYY_MM')
      FROM pg_partitioned_table p JOIN pg_class parent ON parent.oid = p.partrelid
      JOIN pg_inherits i ON i.inhparent = parent.oid JOIN pg_class part ON part.oid = i.inhrelid
     WHERE parent.relnamespace = 'public'::regnamespace ORDER BY 3, 1
""")

# The latest event alone would do; what changed an account without one counts, too.
_REASON = """
    CASE WHEN a.id IS NULL THEN 'unknown'
         WHEN a.status <> 'closed' THEN 'open'
         WHEN EXISTS (SELECT FROM hold h WHERE h.agency_id = a.agency_id AND h.account_id = a.id
                         AND h.released_at IS NULL) THEN 'held'
         WHEN EXISTS (SELECT FROM dispute d WHERE d.agency_id = a.agency_id AND d.account_id = a.id
                         AND d.status = 'open') THEN 'disputed'
         WHEN EXISTS (SELECT FROM payment p WHERE p.agency_id = a.agency_id AND p.account_id = a.id
                         AND p.status IN ('pending', 'processing', 'requires_action', 'disputed'))
           OR EXISTS (SELECT FROM payment_plan p WHERE p.agency_id = a.agency_id AND p.account_id = a.id
                         AND p.status IN ('active', 'paused')) THEN 'being paid'
         WHEN EXISTS (SELECT FROM reconciliation_break b WHERE b.agency_id = a.agency_id
                         AND b.account_id = a.id AND b.state <> 'resolved') THEN 'being reconciled'
         WHEN GREATEST(a.created_at, a.updated_at,
                       (SELECT max(t.at) FROM timeline_event t
                         WHERE t.agency_id = a.agency_id AND t.account_id = a.id)) >= :before THEN 'recent'
    END
"""

_MONTHS = """
    WITH old AS (
        SELECT date_trunc('month', {at}, 'UTC') AS month, account_id, count(*) AS rows
          FROM {table} WHERE agency_id = :agency AND {at} < :before GROUP BY 1, 2
    ), judged AS MATERIALIZED (
        SELECT o.account_id, {reason} AS reason FROM (SELECT DISTINCT account_id FROM old) o
          LEFT JOIN account a ON a.agency_id = :agency AND a.id = o.account_id
    )
    SELECT (month AT TIME ZONE 'UTC')::date, reason, sum(rows)::bigint, count(*)
      FROM old JOIN judged USING (account_id) GROUP BY 1, 2
"""

_OLDEST = """
    SELECT min(created_at) FROM (
        SELECT a.created_at, {reason} AS reason FROM account a WHERE a.agency_id = :agency
    ) AS judged WHERE reason IS NOT NULL
"""

_AUDITED = text("""
    SELECT (date_trunc('month', at, 'UTC') AT TIME ZONE 'UTC')::date, count(*)
      FROM audit_record WHERE agency_id = :agency AND at < :before GROUP BY 1
""")
