from copy import deepcopy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from db.scorecard_files import builtin_scorecards
from domain.scoring import DebtorFacts, RiskLevel, Scorecard
from domain.scoring.facts import FACT_NAMES

RECOVERY = builtin_scorecards()["recovery-v1"]
WORST = DebtorFacts(
    monthly_income=Decimal(0),
    late_payments_count=9,
    employment_status="UNEMPLOYED",
    contract_type="FREELANCE",
    industry_sector="ENTERTAINMENT",
    family_situation="WIDOWED_WITH_DEPENDENTS",
)
BEST = DebtorFacts(
    monthly_income=Decimal(9000),
    late_payments_count=0,
    employment_status="GOVERNMENT_EMPLOYED",
    contract_type="PERMANENT",
    industry_sector="GOVERNMENT",
    family_situation="MARRIED_DUAL_INCOME",
)


def test_the_points_come_in_the_order_of_the_factors(recovery: Scorecard) -> None:
    score = recovery.score(WORST, Decimal("100.00"))
    assert score.points == (10, 10, 9, 8, 9, 9)
    assert score.total == 9 * 10 + 9 * 10 + 8 * 9 + 7 * 8 + 6 * 9 + 6 * 9


def test_a_debtor_of_whom_nothing_is_known_scores_the_middle(recovery: Scorecard, ecoa: Scorecard) -> None:
    for card in (recovery, ecoa):
        score = card.score(DebtorFacts(), Decimal("100.00"))
        assert set(score.points) == {5}
        assert score.total == 225
        assert score.level == RiskLevel.MEDIUM


def test_an_unknown_category_scores_like_a_missing_one(recovery: Scorecard) -> None:
    unknown = WORST.model_copy(update={"industry_sector": "ALCHEMY", "contract_type": ""})
    assert recovery.score(unknown, Decimal(1)).points == (10, 10, 9, 5, 5, 9)


def test_the_threshold_itself_is_not_above_the_threshold(recovery: Scorecard) -> None:
    balance = Decimal("1000.00")
    score = recovery.score(WORST, balance)
    at = recovery.score(WORST, balance, threshold=score.priority_score)
    below = recovery.score(WORST, balance, threshold=score.priority_score - Decimal("0.01"))
    assert (at.high_priority, at.priority) == (False, 1)
    assert (below.high_priority, below.priority) == (True, 3)


def test_much_money_from_a_reliable_debtor_is_priority_two(recovery: Scorecard) -> None:
    score = recovery.score(BEST, Decimal("100000.00"), threshold=Decimal(500_000))
    assert (score.level, score.priority, score.high_priority) == (RiskLevel.LOW, 2, True)
    assert recovery.score(BEST, Decimal("10.00")).priority == 0


def test_nothing_owed_is_worth_nothing(recovery: Scorecard) -> None:
    score = recovery.score(WORST, Decimal(0))
    assert score.priority_score == score.rank == 0
    assert not score.high_priority


def test_the_rank_is_the_priority_score_in_cents(recovery: Scorecard) -> None:
    score = recovery.score(WORST, Decimal("999999999999.99"))
    assert score.rank == 416 * 99_999_999_999_999
    assert score.model_dump(mode="json")["priority_score"] == "415999999999995.84"


@pytest.mark.parametrize("balance", [Decimal("1.005"), Decimal("NaN"), Decimal("Infinity")])
def test_a_balance_that_is_no_amount_is_refused(recovery: Scorecard, balance: Decimal) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        recovery.score(BEST, balance)


@pytest.mark.parametrize("income", ["NaN", "Infinity", "-Infinity"])
def test_an_income_that_is_no_number_is_refused(income: str) -> None:
    with pytest.raises(ValidationError):
        DebtorFacts(monthly_income=Decimal(income))


@given(
    income=st.decimals(1, 10**12 - 1, places=2),
    bound=st.sampled_from([1, 3, 6]),
)
def test_the_boundary_of_the_debt_ratio_is_exact(income: Decimal, bound: int) -> None:
    facts = DebtorFacts(monthly_income=income)
    at = RECOVERY.score(facts, bound * income).points[0]
    above = RECOVERY.score(facts, bound * income + Decimal("0.01")).points[0]
    assert (at, above) == {1: (2, 5), 3: (5, 7), 6: (7, 10)}[bound]


def test_the_ecoa_scorecard_never_looks_at_the_family(ecoa: Scorecard) -> None:
    single = WORST.model_copy(update={"family_situation": "SINGLE_NO_DEPENDENTS"})
    assert ecoa.score(WORST, Decimal(500)) == ecoa.score(single, Decimal(500))
    assert "family_situation" not in {factor.fact for factor in ecoa.factors}
    assert any("12 CFR 1002" in sentence for sentence in ecoa.explain(WORST, Decimal(500)).summary)


def test_both_scorecards_reach_the_same_scale(recovery: Scorecard, ecoa: Scorecard) -> None:
    assert recovery.maximum == ecoa.maximum == recovery.raw_maximum == 450
    assert ecoa.raw_maximum == 390
    assert recovery.high_priority_above == ecoa.high_priority_above == 500_000
    assert recovery.levels == ecoa.levels
    assert ecoa.factors == tuple(f for f in recovery.factors if f.name != "family_situation")


def test_the_published_definitions_do_not_change_unnoticed(recovery: Scorecard, ecoa: Scorecard) -> None:
    """Scores of years ago name these digests: a change of the model is a new version with a new file."""
    assert recovery.digest == "c59b615e5a0a910a001e56753e7d1db271ed0137bd5afd3ed3a2f0d9909cdd1b"
    assert ecoa.digest == "72a03a9cd8d5d04ad99c6897a84b58864fa2027d1e0d24c35423769fa86b50c9"


def test_the_digest_depends_on_meaning_not_on_notation(recovery: Scorecard) -> None:
    stored = recovery.model_dump(mode="json")
    stored["factors"][2]["categories"] = dict(reversed(stored["factors"][2]["categories"].items()))
    stored["high_priority_above"] = "500000.0"
    again = Scorecard.model_validate(stored)
    assert again == recovery
    assert again.digest == recovery.digest
    stored["factors"][2]["categories"]["RETIRED"] = 3
    assert Scorecard.model_validate(stored).digest != recovery.digest


def test_a_scorecard_cannot_be_changed(recovery: Scorecard) -> None:
    with pytest.raises(ValidationError):
        recovery.version = 2  # type: ignore[misc]
    employment = recovery.factors[2]
    with pytest.raises(TypeError):
        employment.categories["RETIRED"] = 9  # type: ignore[union-attr,index]


def test_every_factor_is_explained_in_words(recovery: Scorecard) -> None:
    facts = DebtorFacts(
        monthly_income=Decimal(2500),
        late_payments_count=3,
        employment_status="SELF_EMPLOYED",
        industry_sector="ALCHEMY",
    )
    told = recovery.explain(facts, Decimal("8920.50"))
    assert [part.sentence for part in told.factors] == [
        (
            "Balance to monthly income: 8,920.50 is above 3, at most 6 times 2,500.00: "
            "7 of 10 points, times weight 9 adds 63."
        ),
        "Number of late payments is 3 (above 2, at most 5): 7 of 10 points, times weight 9 adds 63.",
        "Employment status is self employed: 5 of 10 points, times weight 8 adds 40.",
        "Type of work contract is not known: 5 of 10 points, times weight 7 adds 35.",
        "Industry is not one this scorecard knows: 5 of 10 points, times weight 6 adds 30.",
        "Family situation is not known: 5 of 10 points, times weight 6 adds 30.",
    ]
    assert told.summary == (
        "Total 261 of 450 (58.0 %): risk level MEDIUM.",
        "Priority score 261 × 8,920.50 = 2,328,250.50, above the threshold of 500,000.00: priority 2 of 3.",
    )
    assert told.score == recovery.score(facts, Decimal("8920.50"))


@pytest.mark.parametrize(
    ("income", "words"),
    [
        (None, "has no value, as the monthly income is not known"),
        (Decimal(0), "has no value, as there is no monthly income"),
        (Decimal(-1), "has no value, as there is no monthly income"),
    ],
)
def test_a_ratio_without_income_is_explained(recovery: Scorecard, income: Decimal | None, words: str) -> None:
    told = recovery.explain(DebtorFacts(monthly_income=income), Decimal(10))
    assert words in told.factors[0].sentence


def test_contributions_add_up_to_the_total(recovery: Scorecard, ecoa: Scorecard) -> None:
    told = recovery.explain(WORST, Decimal(10))
    assert sum(part.contribution for part in told.factors) == told.score.total
    rescaled = ecoa.explain(WORST, Decimal(10))
    raw = sum(part.contribution for part in rescaled.factors)
    assert (
        f"The factors add up to {raw} of 390, rescaled to {rescaled.score.total} of 450." in rescaled.summary
    )


@pytest.mark.parametrize("fact", FACT_NAMES)
def test_a_fact_neither_scored_nor_left_out_is_refused(recovery: Scorecard, fact: str) -> None:
    definition = recovery.model_dump(mode="json")
    definition["factors"] = [f for f in definition["factors"] if f["fact"] != fact]
    with pytest.raises(ValidationError, match=f"{fact} has no factor"):
        Scorecard.model_validate(definition)


def test_a_fact_left_out_but_scored_is_refused(recovery: Scorecard) -> None:
    definition = recovery.model_dump(mode="json") | {"leaves_out": {"family_situation": "forbidden"}}
    with pytest.raises(ValidationError, match="is scored, yet left out"):
        Scorecard.model_validate(definition)


def test_a_wrong_sum_of_weights_is_refused(recovery: Scorecard) -> None:
    definition = deepcopy(recovery.model_dump(mode="json"))
    definition["factors"][0]["weight"] = 8
    with pytest.raises(ValidationError, match="add up to 440, not 450"):
        Scorecard.model_validate(definition)


@pytest.mark.parametrize("weight", [0, -1, 1.5, True, "9"])
def test_a_weight_that_is_no_positive_whole_number_is_refused(recovery: Scorecard, weight: object) -> None:
    definition = deepcopy(recovery.model_dump(mode="json"))
    definition["factors"][0]["weight"] = weight
    with pytest.raises(ValidationError, match="weight"):
        Scorecard.model_validate(definition)
