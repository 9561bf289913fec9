"""What is said of an account's score now, by scorecards and by models, beside the stored one."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from db.debtor_lists import ScoredAccount
from db.models import Account, AccountScore
from db.models import Scorecard as ScorecardRow
from db.scorecard_files import builtin_scorecards
from domain.scoring import DebtorFacts, ModelCard, Scorer
from domain.scoring.facts import inputs_hash
from services.explaining import NOT_SCORED, explain_now

BALANCE = Decimal("1000.00")
FACTS = DebtorFacts(monthly_income=Decimal("2500.00"), late_payments_count=4)
CARD = builtin_scorecards()["recovery-v1"]
MODEL = ModelCard.model_validate(
    {
        "kind": "model",
        "name": "payment-model",
        "version": 2,
        "title": "Payment model",
        "predict": "our_models:even",
        "uses": ["monthly_income"],
        "leaves_out": {name: "adds nothing" for name in DebtorFacts.model_fields if name != "monthly_income"},
        "cost_of_work": "12.50",
        "high_priority_above": "750",
        "levels": [
            {"level": level, "up_to_percent": percent}
            for level, percent in (("LOW", 30), ("MEDIUM", 60), ("HIGH", 80), ("CRITICAL", 100))
        ],
    }
)


def account(scorer: Scorer | None, facts: DebtorFacts = FACTS, **stored: Any) -> ScoredAccount:
    """An account scored by ``scorer`` from ``facts``; by none: not scored yet."""
    row = Account(id=uuid4(), external_ref="R-1", status="new", balance=BALANCE, currency="USD")
    if scorer is None:
        return ScoredAccount(row, None, None)
    score = scorer.score(3_001, BALANCE) if isinstance(scorer, ModelCard) else scorer.score(facts, BALANCE)
    values = {name: getattr(score, name) for name in ("total", "level", "priority", "rank", "high_priority")}
    held = AccountScore(**{**values, **stored}, inputs_hash=inputs_hash(BALANCE, facts, scorer.used_facts))
    held.scored_at = datetime(2026, 3, 1, tzinfo=UTC)
    return ScoredAccount(row, held, ScorecardRow(sha256=scorer.digest))


def test_a_scorecard_works_its_score_out_whatever_is_stored() -> None:
    fresh = explain_now(CARD, FACTS, account(None), None)
    same = explain_now(CARD, FACTS, account(CARD), None)

    assert fresh.total == same.total == CARD.score(FACTS, BALANCE).total
    assert (len(fresh.factors), fresh.stored) == (6, None)
    assert same.stored is not None
    assert same.stored.current


@pytest.mark.parametrize(
    "stored",
    [
        account(CARD, FACTS.model_copy(update={"late_payments_count": 5})),
        account(builtin_scorecards()["recovery-v1-ecoa"]),
        account(CARD, priority=3),
    ],
    ids=["other facts of the same total", "another scorecard", "another threshold"],
)
def test_a_stored_score_that_does_not_fit_is_not_current(stored: ScoredAccount) -> None:
    told = explain_now(CARD, FACTS, stored, None)

    assert told.stored is not None
    assert not told.stored.current


def test_a_model_s_stored_answer_is_explained_without_factors() -> None:
    told = explain_now(MODEL, FACTS, account(MODEL), None)

    assert (told.total, told.factors) == (3_001, ())
    assert told.priority_score == MODEL.score(3_001, BALANCE).priority_score
    assert told.stored is not None
    assert told.stored.current


@pytest.mark.parametrize(
    "row",
    [account(None), account(MODEL, DebtorFacts()), account(CARD)],
    ids=["never scored", "other facts", "another scorer"],
)
def test_what_only_the_model_could_tell_is_said_to_be_missing(row: ScoredAccount) -> None:
    told = explain_now(MODEL, FACTS, row, None)

    assert (told.total, told.level, told.priority_score, told.factors) == (None, None, None, ())
    assert told.summary == (NOT_SCORED,)
    assert told.stored is None or not told.stored.current
