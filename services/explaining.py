"""The score of an account in words, as its debtor's facts are now, beside the one that is stored."""

from decimal import Decimal
from typing import TYPE_CHECKING

from domain.scoring import DebtorFacts, Explanation, Scorecard, Scorer, explain
from domain.scoring.facts import inputs_hash
from services.debtor_views import ExplainedScore, explained

if TYPE_CHECKING:
    from db.debtor_lists import ScoredAccount

NOT_SCORED = (
    "Not scored with the present facts yet: the agency's model does it in a scoring run (POST /scoring/runs)."
)


def explain_now(
    scorer: Scorer, facts: DebtorFacts, row: "ScoredAccount", threshold: Decimal | None
) -> ExplainedScore:
    """What ``scorer`` says of an account now; ``threshold`` is the agency's, if it has one.

    A scorecard works its score out. A model is not asked: its stored answer is explained if it was made
    from the present facts, else there are no words but that it is missing.
    """
    present = _made_by(scorer, facts, row)
    if not present and not isinstance(scorer, Scorecard):
        return explained(row, None, current=False, why_not=NOT_SCORED)
    total = 0 if row.score is None else row.score.total
    words = explain(scorer, facts, row.account.balance, total=total, threshold=threshold)
    return explained(row, words, current=present and _agree(row, words), why_not=NOT_SCORED)


def _made_by(scorer: Scorer, facts: DebtorFacts, row: "ScoredAccount") -> bool:
    """Whether the stored score was made by this very scorer from this balance and these facts."""
    if row.score is None or row.scorecard is None:
        return False
    digest = inputs_hash(row.account.balance, facts, scorer.used_facts)
    return (row.scorecard.sha256, row.score.inputs_hash) == (scorer.digest, digest)


def _agree(row: "ScoredAccount", words: Explanation) -> bool:
    """Whether the stored score says the same; it does not where the agency's threshold has changed."""
    stored, score = row.score, words.score
    return stored is not None and (
        (stored.total, stored.rank, stored.priority) == (score.total, score.rank, score.priority)
    )
