"""What scoring gives: a score, its level and priority, and the same in words.

Priority is 0 to 3, 3 the most urgent:

- 3: priority score above the threshold, and level HIGH or CRITICAL;
- 2: priority score above the threshold, level LOW or MEDIUM (much money, less at risk);
- 1: not above the threshold, but level HIGH or CRITICAL (at risk, less money);
- 0: neither.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, computed_field

from domain.money import LargeMoney


class RiskLevel(StrEnum):
    """How likely the debt is to stay unpaid, by share of the scorer's maximum."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


URGENT_LEVELS = frozenset({RiskLevel.HIGH, RiskLevel.CRITICAL})


class Score(BaseModel):
    """The score of one account: ``points`` are unweighted and in the order of the factors.

    A plugged-in model tells no factors, so its ``points`` are empty.
    """

    model_config = ConfigDict(frozen=True)

    total: int
    level: RiskLevel
    priority: Annotated[int, Field(ge=0, le=3)]
    rank: int = Field(description="priority score in cents: what the worklist is ordered by, descending")
    high_priority: bool
    points: tuple[int, ...]

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated properties
    @property
    def priority_score(self) -> LargeMoney:
        """In the account's currency: total × balance, or the expected net recovery.

        Larger than any one amount of money may be; less than zero when the work costs more than it brings.
        """
        return Decimal(self.rank) / 100


class FactorExplanation(BaseModel):
    """What one factor added: ``contribution`` = ``weight`` × ``points``, before any rescaling.

    Under a scorecard of expected recovery it is in hundredths of the log-odds of non-payment.
    """

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
