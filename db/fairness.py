"""Two scorecards over the same accounts, counted where they lie: what a report of fairness is made from."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text

from db.scorecard_sql import score_sql
from db.store import Store
from domain.scoring import Scorecard

UNKNOWN = "UNKNOWN"


class Judged(NamedTuple):
    """Accounts of one group that both scorecards judge alike, each for itself: as ``one``, as ``other``.

    ``total_one`` and ``total_other`` are the sums of their totals.
    """

    group: str
    level_one: str
    level_other: str
    priority_one: int
    priority_other: int
    high_one: bool
    high_other: bool
    accounts: int
    total_one: int
    total_other: int


class FairnessStore(Store):
    """Comparisons over the accounts of one agency."""

    async def compare(
        self, one: Scorecard, other: Scorecard, groups: Collection[str], *, threshold: Decimal | None
    ) -> Sequence[Judged]:
        """Score every account that owes by both, without writing; counts by family situation and judgement.

        One pass over the accounts; at most a few thousand rows come back. Situations that are not among
        ``groups`` count as ``UNKNOWN``. No threshold is each scorecard's own.
        """
        first, second = (score_sql(card, threshold=threshold).replace(":", r"\:") for card in (one, other))
        rows = await self._session.execute(
            text(f"""
            SELECT CASE WHEN d.family_situation = ANY(:groups) THEN d.family_situation ELSE :unknown END,
                   x.level, y.level, x.priority, y.priority, x.high_priority, y.high_priority,
                   count(*), sum(x.total), sum(y.total)
              FROM account a
              JOIN debtor d ON d.agency_id = a.agency_id AND d.id = a.debtor_id
             CROSS JOIN LATERAL {first} x
             CROSS JOIN LATERAL {second} y
             WHERE a.agency_id = :agency AND a.balance > 0
             GROUP BY 1, 2, 3, 4, 5, 6, 7"""),
            {"agency": self._agency_id, "groups": sorted(groups), "unknown": UNKNOWN},
        )
        return [Judged(*row) for row in rows]
