"""Figures of all agencies together, for monitoring: what is not reconciled, how old and how much it is."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.tenancy import Tenant

if TYPE_CHECKING:
    from db.session import Database

ACTOR = "monitoring"


class Sort(NamedTuple):
    """A sort of breaks: ``source`` processor or partner, ``age`` in days since they were found."""

    source: str
    kind: str
    age: str


@dataclass(frozen=True, slots=True)
class ReconciliationFigures:
    """What is open in all active agencies; no figure tells of a single one.

    ``values``: money at risk by sort and currency. ``lines`` and ``matched`` are those of each partner's
    newest complete reconciliation.
    """

    breaks: Mapping[Sort, int]
    values: Mapping[tuple[Sort, str], Decimal]
    lines: int
    matched: int

    @property
    def matched_share(self) -> float:
        """Which part of the lines was matched, 0 to 1; 1 when there was nothing to match."""
        return self.matched / self.lines if self.lines else 1.0


async def read_figures(database: "Database") -> ReconciliationFigures:
    """Ask every active agency's books. ``Unavailable`` while the database does not answer."""
    breaks: Counter[Sort] = Counter()
    values: defaultdict[tuple[Sort, str], Decimal] = defaultdict(Decimal)
    lines = matched = 0
    async with database.platform() as tx:
        agency_ids = [agency.id for agency in await tx.agencies.active()]
    for agency_id in agency_ids:
        async with database.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            found = await tx.partner_reports.open_breaks()
            shares = await tx.partner_reports.matched_shares()
        for one in found:
            sort = Sort(one.source, one.kind, one.age)
            breaks[sort] += one.count
            values[sort, one.currency] += one.value
        lines += sum(share.lines for share in shares)
        matched += sum(share.matched for share in shares)
    return ReconciliationFigures(breaks, values, lines, matched)
