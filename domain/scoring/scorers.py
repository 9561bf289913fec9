"""Scorers of either kind, where the difference matters."""

from collections.abc import Mapping
from decimal import Decimal

from domain.errors import Conflict
from domain.scoring.facts import DebtorFacts
from domain.scoring.model import ModelCard
from domain.scoring.scorecard import Scorecard
from domain.scoring.scores import Explanation

Scorer = Scorecard | ModelCard


class ModelChanged(Conflict):
    """A model that is not, or no longer, the one that is asked for."""

    type = "model-changed"
    title = "Another model"


def runnable(stored: Scorer, catalogue: Mapping[str, Scorer]) -> Scorer:
    """What to score with where ``stored`` is asked for.

    A scorecard is all there as it was stored; a model needs its callable, which only the catalogue has.
    ``ModelChanged`` when the catalogue has none of that definition.
    """
    if isinstance(stored, Scorecard):
        return stored
    known = catalogue.get(stored.name)
    if known is None or known.digest != stored.digest:
        raise ModelChanged(
            f"the model {stored.name} version {stored.version} is not the one this run was opened with: "
            "this process has loaded another definition of it or none; let every process load the same cards "
            "(RECOUP_SCORECARDS), then start a new run"
        )
    return known


def explain(
    scorer: Scorer, facts: DebtorFacts, balance: Decimal, *, total: int, threshold: Decimal | None = None
) -> Explanation:
    """A score in words. ``total`` is the stored one: a scorecard works out its own, a model's is taken."""
    if isinstance(scorer, Scorecard):
        return scorer.explain(facts, balance, threshold=threshold)
    return scorer.explain(total, facts, balance, threshold=threshold)
