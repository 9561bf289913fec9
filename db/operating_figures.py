"""What an installation is doing and what waits in it, by few rows of few indexes: for monitoring."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from db.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

DECISIONS_LOOKED_AT = 20_000
"""Of an agency's newest decisions about contacts, how many are looked through for those of the last hour."""


@dataclass(frozen=True, slots=True)
class ImportFigures:
    """Rows and files since the agency began. ``stalled_s``: since when no unfinished import has moved."""

    taken: int
    refused: int
    completed: int
    failed: int
    unfinished: int
    stalled_s: float


@dataclass(frozen=True, slots=True)
class PaymentCount:
    """Payments of the last day by method and what became of them."""

    method: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many things of one status wait, and for how long the oldest has, in seconds."""

    status: str
    count: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class DecisionCount:
    """Decisions about contacts of the last hour; ``rule`` is empty where the law had no objection."""

    rule: str
    allowed: bool
    count: int


class OperatingStore(Store):
    """Figures of one agency."""

    async def imports(self) -> ImportFigures:
        """What became of the agency's files."""
        row = (await self._session.execute(_IMPORTS, {"agency": self._agency_id})).one()
        taken, refused, completed, failed, unfinished, stalled_s = row
        return ImportFigures(taken, refused, completed, failed, unfinished, float(stalled_s))

    async def payments(self, now: datetime) -> Sequence[PaymentCount]:
        """Payments that were asked for within a day before ``now``."""
        values = {"agency": self._agency_id, "first": first_id_at(now - timedelta(days=1))}
        return [PaymentCount(*row) for row in await self._session.execute(_PAYMENTS, values)]

    async def unfinished_payments(self) -> Sequence[Waiting]:
        """Payments that nothing has been said about yet, by status."""
        rows = await self._session.execute(_UNFINISHED, {"agency": self._agency_id})
        return [Waiting(status, count, float(age)) for status, count, age in rows]

    async def inbox(self) -> Sequence[Waiting]:
        """Events of the provider that nothing has come of yet, by status."""
        rows = await self._session.execute(_INBOX, {"agency": self._agency_id})
        return [Waiting(status, count, float(age)) for status, count, age in rows]

    async def decisions(self) -> Sequence[DecisionCount]:
        """What the law has said within the last hour, among the newest ``DECISIONS_LOOKED_AT``."""
        values = {"agency": self._agency_id, "most": DECISIONS_LOOKED_AT}
        return [DecisionCount(*row) for row in await self._session.execute(_DECISIONS, values)]


async def months_ahead(session: "AsyncSession") -> int:
    """For how many months after this one there are partitions for every table that has them by month."""
    return int(await session.scalar(_MONTHS_AHEAD) or 0)


def first_id_at(moment: datetime) -> UUID:
    """The least UUID (version 7, RFC 9562) that a row made at ``moment`` can have."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)


_IMPORTS = text("""
    SELECT COALESCE(sum(processed_ok), 0), COALESCE(sum(processed_errors), 0),
           count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status IN ('pending', 'processing')),
           COALESCE(extract(epoch FROM now() - min(updated_at) FILTER (
               WHERE status IN ('pending', 'processing'))), 0)
      FROM import_job WHERE agency_id = :agency
""")

_PAYMENTS = text("""
    SELECT method, status, count(*) FROM payment
     WHERE agency_id = :agency AND id >= :first GROUP BY method, status
""")

_UNFINISHED = text("""
    SELECT status, count(*), extract(epoch FROM now() - min(updated_at)) FROM payment
     WHERE agency_id = :agency AND status IN ('pending', 'processing', 'requires_action') GROUP BY status
""")

_INBOX = text("""
    SELECT status, count(*), extract(epoch FROM now() - min(received_at)) FROM inbox_event
     WHERE agency_id = :agency AND status IN ('received', 'unmatched', 'failed') GROUP BY status
""")

_DECISIONS = text("""
    SELECT COALESCE(answer ->> 'rule', ''), allowed, count(*) FROM compliance_decision
     WHERE agency_id = :agency AND decided_at > now() - interval '1 hour'
       AND number > (SELECT COALESCE(max(number), 0) - :most FROM compliance_chain WHERE agency_id = :agency)
     GROUP BY 1, 2
""")

_MONTHS_AHEAD = text("""
    SELECT min(ahead) FROM (
        SELECT count(*) FILTER (
                   WHERE part.relname > parent.relname || to_char(now() AT TIME ZONE 'UTC', '_YYYY_MM')
               ) AS ahead
          FROM pg_partitioned_table p JOIN pg_class parent ON parent.oid = p.partrelid
          JOIN pg_inherits i ON i.inhparent = parent.oid JOIN pg_class part ON part.oid = i.inhrelid
         WHERE parent.relnamespace = 'public'::regnamespace
         GROUP BY parent.relname
    ) AS tables
""")
