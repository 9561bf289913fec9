"""What leaving the family situation out changes: the default scorecard beside the one for Regulation B."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PlainSerializer

from db.fairness import UNKNOWN, Judged
from domain.errors import Conflict
from domain.money import Money
from domain.scoring import RiskLevel, Scorecard
from domain.scoring.factors import CategoryFactor
from services.access import Principal, Right, require
from services.fields import View

if TYPE_CHECKING:
    from db.session import Database
    from domain.scoring import Scorer

WITH_FAMILY, WITHOUT_FAMILY = "recovery-v1", "recovery-v1-ecoa"
FOUR_FIFTHS = Decimal("0.8")
_URGENT = frozenset({RiskLevel.HIGH, RiskLevel.CRITICAL})

REGULATION_B = (
    "12 CFR 1002.5(d) limits what a creditor may ask about an applicant's marital status; "
    "12 CFR 1002.6(b)(8) has it evaluate married and unmarried applicants by the same standards. "
    "Whether either reaches the working of a debt is for counsel to say."
)
FOUR_FIFTHS_RULE = (
    "29 CFR 1607.4(D) takes a selection rate below four fifths of the highest group's as evidence of adverse "
    "impact. It is a rule of thumb about employment, used here as an indicator only: it says where to look, "
    "and decides nothing. Small groups fall below it by chance."
)

Share = Annotated[
    Decimal,
    PlainSerializer(lambda value: f"{value:.4f}", return_type=str, when_used="json"),
    Field(description="0 to 1, four decimals"),
]


class Figures(View):
    """What one scorecard says of some accounts. Shares are of these accounts; null where there are none."""

    mean_total: Annotated[Decimal, PlainSerializer("{:.2f}".format, return_type=str, when_used="json")] | None
    high_or_critical: Share | None
    high_priority: Share | None


class GroupFigures(Figures):
    """The same of a group, beside the group with the highest share of high priority."""

    ratio_to_highest: Share | None = Field(
        description="of the shares of high priority; null when none has any"
    )
    below_four_fifths: bool


class FairnessGroup(View):
    """The accounts whose debtors are in one family situation, by scorecard."""

    family_situation: str
    accounts: int
    by_scorecard: dict[str, GroupFigures]


class FairnessReport(View):
    """Two scorecards over the agency's accounts that owe, as they are now. Nothing is written.

    ``migration`` counts accounts by their level under the first scorecard, then under the second.
    """

    scorecards: tuple[str, str]
    versions: tuple[int, int]
    threshold: Money
    accounts: int
    overall: dict[str, Figures]
    changed_level: int
    changed_priority: int
    migration: dict[RiskLevel, dict[RiskLevel, int]]
    groups: tuple[FairnessGroup, ...]
    basis: tuple[str, ...] = (REGULATION_B, FOUR_FIFTHS_RULE)


class FairnessService:
    """Reports of fairness."""

    def __init__(self, database: "Database", scorers: "Mapping[str, Scorer]") -> None:
        self._database = database
        self._scorers = scorers

    async def report(self, who: Principal) -> FairnessReport:
        """Compare both scorecards over the principal's agency."""
        require(who, Right.READ_SCORING)
        one, other = (self._scorecard(name) for name in (WITH_FAMILY, WITHOUT_FAMILY))
        groups = _situations(one)
        async with self._database.transaction(who.tenant) as tx:
            agency = await tx.agencies.get(who.tenant.agency_id)
            threshold = agency.high_priority_threshold
            judged = await tx.fairness.compare(one, other, groups, threshold=threshold)
        return _report(one, other, [*groups, UNKNOWN], judged, one.limit(threshold))

    def _scorecard(self, name: str) -> Scorecard:
        card = self._scorers.get(name)
        if not isinstance(card, Scorecard):
            raise Conflict(f"the scorecard {name} is not known here, so there is nothing to compare with")
        return card


class _Side:
    """One of the two scorecards, as it is found in what was counted."""

    def __init__(
        self,
        card: Scorecard,
        level: Callable[[Judged], str],
        high: Callable[[Judged], bool],
        total: Callable[[Judged], int],
    ) -> None:
        self.name = card.name
        self._level, self._high, self._total = level, high, total

    def figures(self, judged: Iterable[Judged]) -> Figures:
        rows = list(judged)
        accounts = sum(row.accounts for row in rows)
        if not accounts:
            return Figures(mean_total=None, high_or_critical=None, high_priority=None)
        urgent = sum(row.accounts for row in rows if self._level(row) in _URGENT)
        high = sum(row.accounts for row in rows if self._high(row))
        return Figures(
            mean_total=_ratio(sum(self._total(row) for row in rows), accounts, "0.01"),
            high_or_critical=_ratio(urgent, accounts),
            high_priority=_ratio(high, accounts),
        )

    def rate(self, judged: Iterable[Judged]) -> Decimal | None:
        """The share of high priority, not rounded."""
        rows = list(judged)
        accounts = sum(row.accounts for row in rows)
        return Decimal(sum(row.accounts for row in rows if self._high(row))) / accounts if accounts else None


def _situations(card: Scorecard) -> list[str]:
    return [
        situation
        for factor in card.factors
        if isinstance(factor, CategoryFactor) and factor.fact == "family_situation"
        for situation in factor.categories
    ]


def _report(
    one: Scorecard, other: Scorecard, groups: list[str], judged: Iterable[Judged], threshold: Decimal
) -> FairnessReport:
    rows = list(judged)
    sides = (
        _Side(one, lambda r: r.level_one, lambda r: r.high_one, lambda r: r.total_one),
        _Side(other, lambda r: r.level_other, lambda r: r.high_other, lambda r: r.total_other),
    )
    moves = Counter[tuple[str, str]]()
    for row in rows:
        moves[row.level_one, row.level_other] += row.accounts
    return FairnessReport(
        scorecards=(one.name, other.name),
        versions=(one.version, other.version),
        threshold=threshold,
        accounts=sum(row.accounts for row in rows),
        overall={side.name: side.figures(rows) for side in sides},
        changed_level=sum(row.accounts for row in rows if row.level_one != row.level_other),
        changed_priority=sum(row.accounts for row in rows if row.priority_one != row.priority_other),
        migration={was: {now: moves[was, now] for now in RiskLevel} for was in RiskLevel},
        groups=_groups(sides, groups, rows),
    )


def _groups(sides: tuple[_Side, _Side], groups: list[str], rows: list[Judged]) -> tuple[FairnessGroup, ...]:
    of = {group: [row for row in rows if row.group == group] for group in groups}
    highest = {
        side.name: max((side.rate(found) or Decimal(0) for found in of.values()), default=Decimal(0))
        for side in sides
    }
    return tuple(
        FairnessGroup(
            family_situation=group,
            accounts=sum(row.accounts for row in found),
            by_scorecard={side.name: _beside(side, found, highest[side.name]) for side in sides},
        )
        for group, found in of.items()
    )


def _beside(side: _Side, found: list[Judged], highest: Decimal) -> GroupFigures:
    rate = side.rate(found)
    ratio = rate / highest if rate is not None and highest else None
    return GroupFigures(
        **side.figures(found).model_dump(),
        ratio_to_highest=None if ratio is None else ratio.quantize(Decimal("0.0001"), ROUND_HALF_UP),
        below_four_fifths=ratio is not None and ratio < FOUR_FIFTHS,
    )


def _ratio(part: int, whole: int, places: str = "0.0001") -> Decimal:
    return (Decimal(part) / whole).quantize(Decimal(places), ROUND_HALF_UP)
