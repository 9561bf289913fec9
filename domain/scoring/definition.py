"""What the definition of every scorer says, whatever it scores by: name, version, levels, threshold."""

import hashlib
import json
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.money import Money
from domain.scoring.factors import DefinitionError, Title
from domain.scoring.facts import FactName
from domain.scoring.scores import URGENT_LEVELS, RiskLevel, Score


class LevelBand(BaseModel):
    """The level of totals up to ``up_to_percent`` of the maximum (inclusive), above the band before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: RiskLevel
    up_to_percent: Annotated[int, Field(strict=True, gt=0, le=100)]


class Definition(BaseModel):
    """One immutable version of a scorer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    version: Annotated[int, Field(strict=True, ge=1)]
    title: Title
    high_priority_above: Annotated[Money, Field(ge=0)]
    levels: tuple[LevelBand, ...]
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

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the definition, the same for the same meaning in any notation or order of keys."""
        canonical = json.dumps(_plain(self.model_dump()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def limit(self, threshold: Decimal | None) -> Decimal:
        """The priority score above which an account is of high priority: ``threshold``, if there is one."""
        return self.high_priority_above if threshold is None else threshold

    def judged(
        self, total: int, *, of: int, rank: int, points: tuple[int, ...], threshold: Decimal | None
    ) -> Score:
        """The score of a ``total`` of at most ``of``, with its level and priority."""
        level = next(band.level for band in self.levels if total * 100 <= band.up_to_percent * of)
        high_priority = rank > 100 * self.limit(threshold)
        return Score(
            total=total,
            level=level,
            priority=2 * high_priority + (level in URGENT_LEVELS),
            rank=rank,
            high_priority=high_priority,
            points=points,
        )

    def unused_in_words(self) -> list[str]:
        """A sentence for each fact that is left out, with the reason."""
        return [f"Not used: {fact.replace('_', ' ')}. {why}" for fact, why in self.leaves_out.items()]

    def priority_in_words(self, score: Score, threshold: Decimal | None) -> str:
        """The end of the sentence that told the priority score."""
        side = "above" if score.high_priority else "not above"
        return f"{side} the threshold of {self.limit(threshold):,.2f}: priority {score.priority} of 3."


def percent(part: int, whole: int, places: str) -> Decimal:
    """A share in percent, rounded half up to as many decimals as ``places`` (``0.1``) has."""
    return (Decimal(part * 100) / whole).quantize(Decimal(places), ROUND_HALF_UP)


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
