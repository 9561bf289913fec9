"""Scorers as data: what an account is worth working for, and why."""

from domain.scoring.definition import LevelBand
from domain.scoring.facts import DebtorFacts
from domain.scoring.scorecard import Scorecard
from domain.scoring.scores import Explanation, FactorExplanation, RiskLevel, Score

__all__ = [
    "DebtorFacts",
    "Explanation",
    "FactorExplanation",
    "LevelBand",
    "RiskLevel",
    "Score",
    "Scorecard",
]
