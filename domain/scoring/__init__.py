"""Scorecards as data: what an account is worth working for, and why."""

from domain.scoring.facts import DebtorFacts
from domain.scoring.scorecard import (
    Explanation,
    FactorExplanation,
    RiskLevel,
    Score,
    Scorecard,
)

__all__ = ["DebtorFacts", "Explanation", "FactorExplanation", "RiskLevel", "Score", "Scorecard"]
