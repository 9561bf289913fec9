"""A scorecard: factors, weights and levels as data, and the score they give one account.

``Scorecard`` is what a scorecard file says (parsed elsewhere and passed in as a dict); the batch
form compiled from the same object is ``db.scorecard_sql``.
"""

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.money import cents
from domain.scoring.definition import Definition, percent
from domain.scoring.factors import DefinitionError, Factor, Points
from domain.scoring.facts import FACT_NAMES, DebtorFacts
from domain.scoring.recovery import (
    CERTAIN,
    MAX_SUM,
    ExpectedRecovery,
    net_recovery,
    net_recovery_in_words,
    non_payment_in_words,
    non_payment_table,
)
from domain.scoring.scores import Explanation, FactorExplanation, Score


class Scorecard(Definition):
    """One immutable version of a scorecard.

    Totals are comparable between scorecards of the same ``maximum``: one that leaves factors out
    gives ``rescaled_from``, what its own factors reach at most, and its sum is scaled up to
    ``maximum`` (rounded half up to a whole number) before levels and priority are judged. So the
    same level limits and the same priority threshold mean the same under each of them.

    With ``expected_recovery`` the total is a probability of non-payment in basis points, and the priority
    score the expected net recovery instead of total × balance.
    """

    maximum: Annotated[int, Field(strict=True, gt=0, le=CERTAIN)]
    rescaled_from: Annotated[int, Field(strict=True, gt=0)] | None = None
    points_maximum: Annotated[Points, Field(gt=0)]
    factors: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=20)]
    # Left out where there is none, as digests of before there were any are kept for years.
    expected_recovery: ExpectedRecovery | None = Field(None, exclude_if=lambda section: section is None)

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
        return self

    @model_validator(mode="after")
    def _the_sum_fits_the_scale(self) -> Self:
        if self.expected_recovery is not None:
            self._check_probability_scale()
            return self
        stated = self.maximum if self.rescaled_from is None else self.rescaled_from
        if self.raw_maximum != stated:
            field = "maximum" if self.rescaled_from is None else "rescaled_from"
            raise DefinitionError(
                f"weights × points_maximum add up to {self.raw_maximum}, not {stated}: a factor is missing "
                "or a weight is wrong (a scorecard that leaves factors out says rescaled_from)",
                field,
            )
        return self

    def _check_probability_scale(self) -> None:
        if self.maximum != CERTAIN:
            raise DefinitionError(
                f"must be {CERTAIN} under expected_recovery: totals are basis points of a probability",
                "maximum",
            )
        if self.rescaled_from is not None:
            raise DefinitionError(
                "has no meaning under expected_recovery, which has an intercept", "rescaled_from"
            )
        if self.raw_maximum > MAX_SUM:
            raise DefinitionError(
                f"weights × points_maximum add up to {self.raw_maximum}; under expected_recovery they are "
                f"hundredths of log-odds, at most {MAX_SUM}",
                "factors",
            )

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
    def totals(self) -> tuple[int, ...] | None:
        """The total of each sum of weighted points under ``expected_recovery``; without it, none."""
        if self.expected_recovery is None:
            return None
        return non_payment_table(self.expected_recovery.intercept, self.raw_maximum)

    def score(self, facts: DebtorFacts, balance: Decimal, *, threshold: Decimal | None = None) -> Score:
        """Score one account.

        ``balance`` is in the account's currency, at least zero with at most two decimals, else
        ``ValueError``; ``threshold`` replaces the scorecard's own ``high_priority_above``.
        """
        points = tuple(factor.points(facts, balance) for factor in self.factors)
        total = self._total(self._raw(points))
        if self.expected_recovery is None:
            rank = total * cents(balance)
        else:
            rank = net_recovery(balance, total, self.expected_recovery.cost_of_work)
        return self.judged(total, of=self.maximum, rank=rank, points=points, threshold=threshold)

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
        return Explanation(
            scorecard=self.name,
            version=self.version,
            score=score,
            factors=parts,
            summary=(
                *self.unused_in_words(),
                *self._sum_in_words(score),
                f"{self._rank_in_words(score, balance)}, {self.priority_in_words(score, threshold)}",
            ),
        )

    def _raw(self, points: tuple[int, ...]) -> int:
        return sum(factor.weight * p for factor, p in zip(self.factors, points, strict=True))

    def _total(self, raw: int) -> int:
        if self.totals is not None:
            return self.totals[raw]
        if self.rescaled_from is None:
            return raw
        return (2 * raw * self.maximum + self.raw_maximum) // (2 * self.raw_maximum)

    def _sum_in_words(self, score: Score) -> list[str]:
        raw = self._raw(score.points)
        if self.expected_recovery is not None:
            intercept = self.expected_recovery.intercept
            odds = (
                f"The factors add {raw} hundredths to the log-odds of non-payment, which start at "
                f"{intercept}: {intercept + raw}."
            )
            return [odds, non_payment_in_words(score)]
        share = percent(score.total, self.maximum, "0.1")
        total = f"Total {score.total} of {self.maximum} ({share} %): risk level {score.level}."
        if self.rescaled_from is None:
            return [total]
        added = f"The factors add up to {raw} of {self.raw_maximum}"
        return [f"{added}, rescaled to {score.total} of {self.maximum}.", total]

    def _rank_in_words(self, score: Score, balance: Decimal) -> str:
        if self.expected_recovery is not None:
            return net_recovery_in_words(score, balance, self.expected_recovery.cost_of_work)
        return f"Priority score {score.total} × {balance:,.2f} = {score.priority_score:,.2f}"
