"""A scorecard: factors, weights and levels as data, and the score they give one account.

``Scorecard`` is what a scorecard file says (parsed elsewhere and passed in as a dict); the batch
form compiled from the same object is ``db.scorecard_sql``.

Priority is 0 to 3, 3 the most urgent:

- 3: priority score above the threshold, and level HIGH or CRITICAL;
- 2: priority score above the threshold, level LOW or MEDIUM (much money, less at risk);
- 1: not above the threshold, but level HIGH or CRITICAL (at risk, less money);
- 0: neither.
"""

import hashlib
import json
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field, model_validator

from domain.money import Money, cents
from domain.scoring.factors import DefinitionError, Factor, Points, Title
from domain.scoring.facts import FACT_NAMES, DebtorFacts, FactName


class RiskLevel(StrEnum):
    """How likely the debt is to stay unpaid, by share of the scorecard's maximum."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


URGENT_LEVELS = frozenset({RiskLevel.HIGH, RiskLevel.CRITICAL})


class LevelBand(BaseModel):
    """The level of totals up to ``up_to_percent`` of the maximum (inclusive), above the band before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: RiskLevel
    up_to_percent: Annotated[int, Field(strict=True, gt=0, le=100)]


class Score(BaseModel):
    """The score of one account: ``points`` are unweighted and in the order of the factors."""

    model_config = ConfigDict(frozen=True)

    total: int
    level: RiskLevel
    priority: Annotated[int, Field(ge=0, le=3)]
    rank: int = Field(description="priority score in cents: what the worklist is ordered by, descending")
    high_priority: bool
    points: tuple[int, ...]

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated properties
    @property
    def priority_score(self) -> Annotated[Decimal, PlainSerializer("{:.2f}".format, when_used="json")]:
        """Total × balance, in the account's currency; larger than any one amount of money may be."""
        return Decimal(self.rank) / 100


class FactorExplanation(BaseModel):
    """What one factor added: ``contribution`` = ``weight`` × ``points``, before any rescaling."""

    model_config = ConfigDict(frozen=True)

    factor: str
    title: str
    points: int
    weight: int
    contribution: int
    sentence: str


class Explanation(BaseModel):
    """A score in words: a sentence a factor, then how they became total, level and priority."""

    model_config = ConfigDict(frozen=True)

    scorecard: str
    version: int
    score: Score
    factors: tuple[FactorExplanation, ...]
    summary: tuple[str, ...]


class Scorecard(BaseModel):
    """One immutable version of a scorecard.

    Totals are comparable between scorecards of the same ``maximum``: one that leaves factors out
    gives ``rescaled_from``, what its own factors reach at most, and its sum is scaled up to
    ``maximum`` (rounded half up to a whole number) before levels and priority are judged. So the
    same level limits and the same priority threshold mean the same under each of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    version: Annotated[int, Field(strict=True, ge=1)]
    title: Title
    maximum: Annotated[int, Field(strict=True, gt=0, le=1000)]
    rescaled_from: Annotated[int, Field(strict=True, gt=0)] | None = None
    points_maximum: Annotated[Points, Field(gt=0)]
    high_priority_above: Annotated[Money, Field(ge=0)]
    levels: tuple[LevelBand, ...]
    factors: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=20)]
    leaves_out: dict[FactName, Title] = Field(default_factory=dict, description="fact → why it is not used")

    @model_validator(mode="after")
    def _levels_are_complete(self) -> Self:
        if [band.level for band in self.levels] != list(RiskLevel):
            raise DefinitionError(f"must be {', '.join(RiskLevel)}, in this order", "levels")
        for i, (before, this) in enumerate(pairwise(self.levels), start=1):
            if this.up_to_percent <= before.up_to_percent:
                raise DefinitionError("must end above the level before it", "levels", i)
        if self.levels[-1].up_to_percent != 100:  # noqa: PLR2004 (percent)
            raise DefinitionError("the last level must go up to 100 percent", "levels", len(self.levels) - 1)
        return self

    @model_validator(mode="after")
    def _factors_are_distinct_and_within_the_scale(self) -> Self:
        names: set[str] = set()
        for i, factor in enumerate(self.factors):
            if factor.name in names:
                raise DefinitionError(f"a second factor named {factor.name}", "factors", i)
            names.add(factor.name)
            if (most := max(factor.all_points())) > self.points_maximum:
                problem = f"{factor.name} gives {most} points, but the scale ends at {self.points_maximum}"
                raise DefinitionError(problem, "factors", i)
        return self

    @model_validator(mode="after")
    def _no_factor_is_missing(self) -> Self:
        scored = {factor.fact for factor in self.factors}
        for fact in FACT_NAMES:
            if (fact in scored) == (fact in self.leaves_out):
                problem = "is scored, yet left out" if fact in scored else "has no factor"
                raise DefinitionError(
                    f"{fact} {problem}: score it, or name it and why under leaves_out", "factors"
                )
        stated = self.maximum if self.rescaled_from is None else self.rescaled_from
        if self.raw_maximum != stated:
            field = "maximum" if self.rescaled_from is None else "rescaled_from"
            raise DefinitionError(
                f"weights × points_maximum add up to {self.raw_maximum}, not {stated}: a factor is missing "
                "or a weight is wrong (a scorecard that leaves factors out says rescaled_from)",
                field,
            )
        return self

    @cached_property
    def raw_maximum(self) -> int:
        """What the weighted points add up to at most, before rescaling."""
        return sum(factor.weight for factor in self.factors) * self.points_maximum

    @cached_property
    def used_facts(self) -> tuple[str, ...]:
        """The facts that are scored, in the order of ``FACT_NAMES``."""
        scored = {factor.fact for factor in self.factors}
        return tuple(name for name in FACT_NAMES if name in scored)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the definition, the same for the same meaning in any notation or order of keys."""
        canonical = json.dumps(_plain(self.model_dump()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def score(self, facts: DebtorFacts, balance: Decimal, *, threshold: Decimal | None = None) -> Score:
        """Score one account.

        ``balance`` is in the account's currency, at most two decimals, else ``ValueError``;
        ``threshold`` replaces the scorecard's own ``high_priority_above``.
        """
        points = tuple(factor.points(facts, balance) for factor in self.factors)
        total = self._rescaled(self._raw(points))
        level = next(b.level for b in self.levels if total * 100 <= b.up_to_percent * self.maximum)
        rank = total * cents(balance)
        high_priority = rank > 100 * (self.high_priority_above if threshold is None else threshold)
        return Score(
            total=total,
            level=level,
            priority=2 * high_priority + (level in URGENT_LEVELS),
            rank=rank,
            high_priority=high_priority,
            points=points,
        )

    def explain(
        self, facts: DebtorFacts, balance: Decimal, *, threshold: Decimal | None = None
    ) -> Explanation:
        """``score`` in words, for a collector and a regulator; the same arguments and errors."""
        score = self.score(facts, balance, threshold=threshold)
        parts = tuple(
            FactorExplanation(
                factor=factor.name,
                title=factor.title,
                points=points,
                weight=factor.weight,
                contribution=factor.weight * points,
                sentence=f"{factor.in_words(facts, balance)}: {points} of {self.points_maximum} points, "
                f"times weight {factor.weight} adds {factor.weight * points}.",
            )
            for factor, points in zip(self.factors, score.points, strict=True)
        )
        limit = self.high_priority_above if threshold is None else threshold
        return Explanation(
            scorecard=self.name,
            version=self.version,
            score=score,
            factors=parts,
            summary=self._summary(score, balance, limit),
        )

    def _raw(self, points: tuple[int, ...]) -> int:
        return sum(factor.weight * p for factor, p in zip(self.factors, points, strict=True))

    def _rescaled(self, raw: int) -> int:
        if self.rescaled_from is None:
            return raw
        return (2 * raw * self.maximum + self.raw_maximum) // (2 * self.raw_maximum)

    def _summary(self, score: Score, balance: Decimal, threshold: Decimal) -> tuple[str, ...]:
        sentences = [f"Not used: {fact.replace('_', ' ')}. {why}" for fact, why in self.leaves_out.items()]
        if self.rescaled_from is not None:
            sentences.append(
                f"The factors add up to {self._raw(score.points)} of {self.raw_maximum}, "
                f"rescaled to {score.total} of {self.maximum}."
            )
        share = (Decimal(score.total * 100) / self.maximum).quantize(Decimal("0.1"), ROUND_HALF_UP)
        sentences.append(f"Total {score.total} of {self.maximum} ({share} %): risk level {score.level}.")
        side = "above" if score.high_priority else "not above"
        sentences.append(
            f"Priority score {score.total} × {balance:,.2f} = {score.priority_score:,.2f}, "
            f"{side} the threshold of {threshold:,.2f}: priority {score.priority} of 3."
        )
        return tuple(sentences)


def _plain(value: Any) -> Any:
    """JSON-ready, with equal decimals written alike (1, 1.0 and 1.00 are all ``1``)."""
    match value:
        case Decimal():
            return format(value.normalize(), "f")
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case _:
            return value
