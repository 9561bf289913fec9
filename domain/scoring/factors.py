"""The kinds of factor a scorecard is made of: categories, bins of a number, bins of a ratio.

A factor turns one fact into points and says so in words. What is not known gets the factor's own
``missing`` points.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from domain.scoring.facts import DebtorFacts, NumberFact, TextFact

Points = Annotated[int, Field(strict=True, ge=0, le=100)]
Name = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Category = Annotated[str, Field(strict=True, pattern=r"^[A-Z][A-Z0-9_]{0,39}$")]
Title = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
Bound = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=14, decimal_places=4)]


class DefinitionError(ValueError):
    """A definition that contradicts itself; ``path`` leads to the place, from where it was found."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


class Bin(BaseModel):
    """Points for values above ``above`` (exclusive) up to ``up_to`` (inclusive); none is no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above: Bound | None = None
    up_to: Bound | None = None
    points: Points

    def in_words(self) -> str:
        """The bin as a reader says it: ``above 2, at most 5``."""
        lower = [] if self.above is None else [f"above {self.above:,}"]
        upper = [] if self.up_to is None else [f"at most {self.up_to:,}"]
        return ", ".join(lower + upper) or "any value"


def check_bins(bins: Sequence[Bin]) -> None:
    """Bins must ascend and cover every number exactly once, else ``DefinitionError`` names the bin."""
    if bins[0].above is not None:
        raise DefinitionError("the first bin must have no lower bound (above)", "bins", 0)
    for i, (before, this) in enumerate(pairwise(bins), start=1):
        if before.up_to is None:
            raise DefinitionError("only the last bin may have no upper bound (up_to)", "bins", i - 1)
        if this.above is None or this.above < before.up_to:
            raise DefinitionError(f"overlaps the bin before it, which ends at {before.up_to}", "bins", i)
        if this.above > before.up_to:
            raise DefinitionError(
                f"leaves a gap after the bin before it, which ends at {before.up_to}", "bins", i
            )
        if this.up_to is not None and this.up_to <= this.above:
            raise DefinitionError("is empty: up_to must be more than above", "bins", i)
    if bins[-1].up_to is not None:
        raise DefinitionError("the last bin must have no upper bound (up_to)", "bins", len(bins) - 1)


class _Factor(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: Title
    weight: Annotated[int, Field(strict=True, gt=0, le=100)]
    missing: Points = Field(description="points when the fact is not known")


class CategoryFactor(_Factor):
    """Points by category; a category that is not listed is as good as missing."""

    kind: Literal["category"]
    fact: TextFact
    categories: Annotated[
        Mapping[Category, Points],
        Field(min_length=1),
        AfterValidator(MappingProxyType),
        PlainSerializer(dict, return_type=dict[str, int]),
    ]

    def all_points(self) -> list[int]:
        """Every number of points this factor can give."""
        return [self.missing, *self.categories.values()]

    def points(self, facts: DebtorFacts, balance: Decimal) -> int:
        """The points of this factor for one account."""
        value = getattr(facts, self.fact)
        return self.missing if value is None else self.categories.get(value, self.missing)

    def in_words(self, facts: DebtorFacts, balance: Decimal) -> str:
        """What was found, as the first half of a sentence."""
        value = getattr(facts, self.fact)
        if value is None:
            return f"{self.title} is not known"
        if value not in self.categories:
            return f"{self.title} is not one this scorecard knows"
        return f"{self.title} is {value.replace('_', ' ').lower()}"


class _Binned(_Factor):
    bins: Annotated[tuple[Bin, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _bins_cover_every_number_once(self) -> Self:
        check_bins(self.bins)
        return self


class NumberFactor(_Binned):
    """Points by the bin that the number lies in."""

    kind: Literal["number"]
    fact: NumberFact

    def all_points(self) -> list[int]:
        """Every number of points this factor can give."""
        return [self.missing, *(b.points for b in self.bins)]

    def _bin(self, value: Decimal | int) -> Bin:
        return next(b for b in self.bins if b.up_to is None or value <= b.up_to)

    def points(self, facts: DebtorFacts, balance: Decimal) -> int:
        """The points of this factor for one account."""
        value = getattr(facts, self.fact)
        return self.missing if value is None else self._bin(value).points

    def in_words(self, facts: DebtorFacts, balance: Decimal) -> str:
        """What was found, as the first half of a sentence."""
        value = getattr(facts, self.fact)
        if value is None:
            return f"{self.title} is not known"
        return f"{self.title} is {value:,} ({self._bin(value).in_words()})"


class RatioFactor(_Binned):
    """Points by balance ÷ fact, compared as ``balance ≤ bound × fact`` so that no division rounds."""

    kind: Literal["ratio"]
    fact: Literal["monthly_income"]
    not_positive: Points = Field(description="points when the fact is zero or less: the ratio has no value")

    def all_points(self) -> list[int]:
        """Every number of points this factor can give."""
        return [self.missing, self.not_positive, *(b.points for b in self.bins)]

    def _bin(self, balance: Decimal, fact: Decimal) -> Bin:
        return next(b for b in self.bins if b.up_to is None or balance <= b.up_to * fact)

    def points(self, facts: DebtorFacts, balance: Decimal) -> int:
        """The points of this factor for one account; ``balance`` in the currency of the income."""
        fact = facts.monthly_income
        if fact is None:
            return self.missing
        return self.not_positive if fact <= 0 else self._bin(balance, fact).points

    def in_words(self, facts: DebtorFacts, balance: Decimal) -> str:
        """What was found, as the first half of a sentence."""
        fact = facts.monthly_income
        if fact is None:
            return f"{self.title} has no value, as the monthly income is not known"
        if fact <= 0:
            return f"{self.title} has no value, as there is no monthly income"
        held = self._bin(balance, fact)
        return f"{self.title}: {balance:,.2f} is {held.in_words()} times {fact:,.2f}"


Factor = Annotated[CategoryFactor | NumberFactor | RatioFactor, Field(discriminator="kind")]
