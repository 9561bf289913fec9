from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from db.scorecard_files import builtin_scorecards
from domain.scoring import DebtorFacts, ModelCard, ModelChanged, RiskLevel, Scorecard, explain, runnable

DEFINITION: dict[str, Any] = {
    "kind": "model",
    "name": "payment-model",
    "version": 2,
    "title": "Payment model",
    "predict": "our_models:even",
    "uses": ["late_payments_count", "monthly_income", "employment_status"],
    "leaves_out": {
        "contract_type": "adds nothing",
        "industry_sector": "adds nothing",
        "family_situation": "Regulation B",
    },
    "cost_of_work": "12.50",
    "high_priority_above": "750",
    "levels": [
        {"level": "LOW", "up_to_percent": 30},
        {"level": "MEDIUM", "up_to_percent": 60},
        {"level": "HIGH", "up_to_percent": 80},
        {"level": "CRITICAL", "up_to_percent": 100},
    ],
}


@pytest.fixture
def model() -> ModelCard:
    return ModelCard.model_validate(DEFINITION)


def test_an_answer_becomes_a_score(model: ModelCard) -> None:
    score = model.score(3_001, Decimal("1000.00"))
    assert (score.total, score.level, score.points) == (3_001, RiskLevel.MEDIUM, ())
    assert score.rank == 69_990 - 1_250
    assert (score.high_priority, score.priority) == (False, 0)
    assert model.score(3_001, Decimal("1000.00"), threshold=Decimal("687.39")).priority == 2
    assert model.score(8_001, Decimal("10.00")).level == RiskLevel.CRITICAL


@pytest.mark.parametrize("answer", [-1, 10_001])
def test_what_is_no_probability_is_no_score(model: ModelCard, answer: int) -> None:
    with pytest.raises(ValueError, match="no probability"):
        model.score(answer, Decimal(1))


def test_a_stored_answer_is_explained_in_words(model: ModelCard) -> None:
    facts = DebtorFacts(monthly_income=Decimal(2500), employment_status="SELF_EMPLOYED", family_situation="X")
    told = explain(model, facts, Decimal("1000.00"), total=3_001)
    assert told.score == model.score(3_001, Decimal("1000.00"))
    assert told.factors == ()
    assert told.summary == (
        "Not used: contract type. adds nothing",
        "Not used: industry sector. adds nothing",
        "Not used: family situation. Regulation B",
        (
            "The model Payment model was shown the balance 1,000.00; monthly income 2,500.00; "
            "late payments count not known; employment status self employed."
        ),
        "The probability of non-payment is 30.01 % (total 3001 of 10000): risk level MEDIUM.",
        (
            "Expected net recovery 1,000.00 × 69.99 % − 12.50 for the work = 687.40, "
            "not above the threshold of 750.00: priority 0 of 3."
        ),
    )


def test_a_scorecard_explains_what_it_works_out_itself(recovery: Scorecard) -> None:
    told = explain(recovery, DebtorFacts(), Decimal(100), total=-1, threshold=Decimal(1))
    assert told == recovery.explain(DebtorFacts(), Decimal(100), threshold=Decimal(1))


def test_the_callable_is_no_part_of_the_definition(model: ModelCard) -> None:
    digest = model.digest
    model.bind(lambda frame: [0.5] * frame.height)
    assert model.digest == digest
    stored = ModelCard.model_validate(model.model_dump(mode="json"))
    assert stored.digest == digest
    with pytest.raises(RuntimeError, match="without its callable"):
        _ = stored.predictor


@pytest.mark.parametrize(
    "change", [{"version": 3}, {"predict": "our_models:odd"}, {"artifact": {"file": "m", "sha256": "0" * 64}}]
)
def test_a_run_takes_the_model_it_was_opened_with_or_none(model: ModelCard, change: dict[str, Any]) -> None:
    stored = ModelCard.model_validate(DEFINITION)
    assert runnable(stored, {model.name: model}) is model
    other = ModelCard.model_validate(DEFINITION | change)
    for catalogue in ({}, {model.name: other}, {model.name: builtin_scorecards()["recovery-v1"]}):
        with pytest.raises(ModelChanged, match="payment-model version 2 is not the one"):
            runnable(stored, catalogue)


def test_a_stored_scorecard_needs_no_catalogue(recovery: Scorecard) -> None:
    assert runnable(recovery, {}) is recovery


def test_a_model_must_say_why_it_leaves_a_fact_out() -> None:
    with pytest.raises(ValidationError, match="family_situation is not used"):
        ModelCard.model_validate(DEFINITION | {"leaves_out": {"contract_type": "-", "industry_sector": "-"}})
