"""What reconciliations came to: figures by kind, age and rule, the statements behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from db.models import PartnerReconciliationRun
from db.store import Store

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenBreaks:
    """How many breaks of one sort are not resolved, and the money at risk in them.

    ``source``: processor or partner; ``age``: 0-1, 2-5, 6-30 or 30+ (days since it was found).
    """

    source: str
    kind: str
    age: str
    currency: str
    count: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class MatchedShare:
    """How much of what a partner last said could be matched: lines with their account or payment found."""

    partner: str
    lines: int
    matched: int


class PartnerReportStore(Store):
    """Reading what one agency's reconciliations came to."""

    async def figures(self, run: PartnerReconciliationRun) -> Json:
        """The report of a run, as JSON: what it opened, resolved and cured, what is open now, and the
        statements that it closed. Amounts are texts with two decimals."""
        values = {"agency": self._agency_id, "partner": run.partner_id, "run": run.id}
        return {
            "opened_by": await self._objects(_OPENED, values),
            "resolved_by": await self._objects(_RESOLVED, values),
            "open_by": await self._objects(_OPEN, values),
            "statements": await self._objects(_STATEMENTS, values),
        }

    async def open_breaks(self) -> Sequence[OpenBreaks]:
        """All breaks of the agency that are not resolved, counted by source, kind, age and currency."""
        rows = await self._session.execute(_QUEUE, {"agency": self._agency_id})
        return [OpenBreaks(*row) for row in rows]

    async def matched_shares(self) -> Sequence[MatchedShare]:
        """Of each partner, its newest complete reconciliation that had something to match."""
        rows = await self._session.execute(_SHARES, {"agency": self._agency_id})
        return [MatchedShare(*row) for row in rows]

    async def _objects(self, statement: Any, values: Json) -> list[Json]:
        rows = (await self._session.execute(statement, values)).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, ".2f")
    return value if isinstance(value, int | str | bool | None) else str(value)


_AGE = """
    CASE WHEN b.found_at > now() - interval '2 days' THEN '0-1'
         WHEN b.found_at > now() - interval '6 days' THEN '2-5'
         WHEN b.found_at > now() - interval '31 days' THEN '6-30' ELSE '30+' END
"""

_OPENED = text("""
    SELECT b.kind, b.rule, b.currency, count(*) AS count, sum(b.value) AS value
      FROM reconciliation_break b
     WHERE b.agency_id = :agency AND b.partner_id = :partner AND b.run_id = :run
     GROUP BY b.kind, b.rule, b.currency ORDER BY b.kind, b.rule, b.currency
""")

_RESOLVED = text("""
    SELECT b.kind, b.resolution, b.resolved_by, count(*) AS count, sum(b.value) AS value
      FROM reconciliation_break b
     WHERE b.agency_id = :agency AND b.partner_id = :partner AND b.seen_run_id = :run
       AND b.state = 'resolved' AND b.resolution IN ('rule', 'cured')
     GROUP BY b.kind, b.resolution, b.resolved_by ORDER BY b.kind, b.resolution, b.resolved_by
""")

_OPEN = text(f"""
    SELECT b.kind, {_AGE} AS age, b.currency, count(*) AS count, sum(b.value) AS value
      FROM reconciliation_break b
     WHERE b.agency_id = :agency AND b.partner_id = :partner AND b.state <> 'resolved'
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")

_STATEMENTS = text("""
    SELECT s.id, s.channel, s.name, s.state, s.reason, s.lines, s.problems
      FROM statement s
     WHERE s.agency_id = :agency AND s.run_id = :run ORDER BY s.id
""")

_QUEUE = text(f"""
    SELECT b.source, b.kind, {_AGE} AS age, b.currency, count(*) AS count, sum(b.value) AS value
      FROM reconciliation_break b
     WHERE b.agency_id = :agency AND b.state <> 'resolved'
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
""")

_SHARES = text("""
    SELECT p.name, r.lines, r.matched
      FROM partner p
     CROSS JOIN LATERAL (
        SELECT lines, matched FROM partner_reconciliation r
         WHERE r.agency_id = :agency AND r.partner_id = p.id AND r.status = 'completed' AND NOT r.dry_run
           AND r.lines > 0
         ORDER BY r.created_at DESC, r.id DESC LIMIT 1) r
     WHERE p.agency_id = :agency ORDER BY p.name
""")
