import math
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.scoring import DebtorFacts, RiskLevel, Scorecard
from domain.scoring.recovery import net_recovery, non_payment_table

CENT = Decimal("0.01")


def changed(card: Scorecard, **sections: object) -> Scorecard:
    return Scorecard.model_validate(deepcopy(card.model_dump(mode="json")) | sections)


def test_the_published_definition_does_not_change_unnoticed(expected_recovery: Scorecard) -> None:
    assert expected_recovery.digest == "fba5149237fb42b1cdc08e91c19d436ead63d6a683299b71ff7990ae3d354122"


def test_the_probabilities_are_those_of_the_logistic_function() -> None:
    table = non_payment_table(-200, 460)
    assert len(table) == 461
    assert table[200] == 5000
    for points, basis_points in enumerate(table):
        exact = 10_000 / (1 + math.exp((200 - points) / 100))
        assert abs(basis_points - exact) <= 0.5 + 1e-9
    assert list(table) == sorted(table)


def test_certainty_is_reached_only_by_rounding() -> None:
    assert non_payment_table(-10_000, 0) == (0,)
    assert non_payment_table(10_000, 0) == (10_000,)


@given(st.decimals(0, Decimal("999999999999.99"), places=2), st.integers(0, 10_000))
def test_net_recovery_rounds_half_up_to_a_cent(balance: Decimal, non_payment: int) -> None:
    expected = Fraction(balance) * Fraction(10_000 - non_payment, 10_000) * 100
    assert net_recovery(balance, non_payment, Decimal(25)) == math.floor(expected + Fraction(1, 2)) - 25_00


@pytest.mark.parametrize(
    ("balance", "non_payment", "in_cents"),
    [
        (CENT, 5000, 1 - 100),  # half a cent is a cent
        (CENT, 5001, 0 - 100),
        (Decimal(0), 0, -100),
        (Decimal("999999999999.99"), 0, 99_999_999_999_999 - 100),
        (Decimal("999999999999.99"), 10_000, -100),
    ],
)
def test_net_recovery_at_its_edges(balance: Decimal, non_payment: int, in_cents: int) -> None:
    assert net_recovery(balance, non_payment, Decimal(1)) == in_cents


def test_a_balance_with_a_fraction_of_a_cent_is_refused(expected_recovery: Scorecard) -> None:
    with pytest.raises(ValueError, match="more than two decimals"):
        expected_recovery.score(DebtorFacts(), Decimal("1.005"))


def test_work_that_costs_more_than_it_brings_ranks_below_nothing(expected_recovery: Scorecard) -> None:
    score = expected_recovery.score(DebtorFacts(), Decimal("10.00"))
    assert (score.total, score.level) == (5744, RiskLevel.MEDIUM)
    assert score.priority_score == Decimal("-20.74")
    assert (score.high_priority, score.priority) == (False, 0)
    assert score.model_dump(mode="json")["priority_score"] == "-20.74"


def test_the_threshold_is_an_amount_of_expected_recovery(expected_recovery: Scorecard) -> None:
    score = expected_recovery.score(DebtorFacts(), Decimal("5000.00"))
    assert (
        expected_recovery.score(DebtorFacts(), Decimal("5000.00"), threshold=score.priority_score).priority
        == 0
    )
    below = score.priority_score - CENT
    assert expected_recovery.score(DebtorFacts(), Decimal("5000.00"), threshold=below).priority == 2


def test_expected_recovery_is_explained_in_words(expected_recovery: Scorecard) -> None:
    facts = DebtorFacts(monthly_income=Decimal(2500), late_payments_count=3)
    told = expected_recovery.explain(facts, Decimal("8920.50"))
    assert [part.contribution for part in told.factors] == [84, 98, 50, 30, 20]
    assert told.factors[1].sentence == (
        "Number of late payments is 3 (above 2, at most 5): 7 of 10 points, times weight 14 adds 98."
    )
    assert told.summary == (
        f"Not used: family situation. {expected_recovery.leaves_out['family_situation']}",
        "The factors add 282 hundredths to the log-odds of non-payment, which start at -200: 82.",
        "The probability of non-payment is 69.42 % (total 6942 of 10000): risk level HIGH.",
        (
            "Expected net recovery 8,920.50 × 30.58 % − 25.00 for the work = 2,702.89, "
            "above the threshold of 1,000.00: priority 3 of 3."
        ),
    )


def test_expected_recovery_never_looks_at_the_family(expected_recovery: Scorecard) -> None:
    widowed = DebtorFacts(family_situation="WIDOWED_WITH_DEPENDENTS")
    assert expected_recovery.score(widowed, Decimal(500)) == expected_recovery.score(
        DebtorFacts(), Decimal(500)
    )


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"maximum": 450}, "must be 10000 under expected_recovery"),
        ({"rescaled_from": 460}, "has no meaning under expected_recovery"),
        ({"points_maximum": 100, "factors": "heavy"}, "hundredths of log-odds, at most 10000"),
        ({"expected_recovery": {"intercept": 1.5, "cost_of_work": "1"}}, "intercept"),
        ({"expected_recovery": {"intercept": 10_001, "cost_of_work": "1"}}, "intercept"),
        ({"expected_recovery": {"intercept": 0, "cost_of_work": "-1"}}, "cost_of_work"),
        ({"expected_recovery": {"intercept": 0, "cost_of_work": "1.005"}}, "cost_of_work"),
        ({"expected_recovery": {"intercept": 0}}, "cost_of_work"),
        ({"expected_recovery": None}, "add up to 460, not 10000"),
    ],
)
def test_a_section_that_contradicts_the_rest_is_refused(
    expected_recovery: Scorecard, sections: dict[str, object], fault: str
) -> None:
    if sections.get("factors") == "heavy":
        factors = expected_recovery.model_dump(mode="json")["factors"]
        sections = sections | {"factors": [factor | {"weight": 100} for factor in factors]}
    with pytest.raises(ValidationError, match=fault):
        changed(expected_recovery, **sections)


def test_the_stored_definition_is_the_same_scorecard(
    expected_recovery: Scorecard, recovery: Scorecard
) -> None:
    again = changed(expected_recovery)
    assert again == expected_recovery
    assert again.digest == expected_recovery.digest
    assert "expected_recovery" not in recovery.model_dump(mode="json")
    dearer = changed(expected_recovery, expected_recovery={"intercept": -200, "cost_of_work": "26.00"})
    assert dearer.digest != expected_recovery.digest
