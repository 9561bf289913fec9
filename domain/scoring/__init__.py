"""Scorers as data: what an account is worth working for, and why."""

from domain.scoring.definition import LevelBand
from domain.scoring.facts import DebtorFacts
from domain.scoring.model import ModelCard
from domain.scoring.scorecard import Scorecard
from domain.scoring.scorers import ModelChanged, Scorer, explain, runnable
from domain.scoring.scores import Explanation, FactorExplanation, RiskLevel, Score

__all__ = [
    "DebtorFacts",
    "Explanation",
    "FactorExplanation",
    "LevelBand",
    "ModelCard",
    "ModelChanged",
    "RiskLevel",
    "Score",
    "Scorecard",
    "Scorer",
    "explain",
    "runnable",
]
