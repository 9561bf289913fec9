"""Every combination of categories against the published models, written out a second time by hand.

Each meets every boundary of the debt ratio and every one of the late payments, and each pair of these
is met somewhere; the whole product of all three is in the test of the batch form.
"""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest

from domain.scoring import DebtorFacts, Scorecard

EMPLOYMENT = {
    "GOVERNMENT_EMPLOYED": 1,
    "EMPLOYED": 2,
    "RETIRED": 4,
    "SELF_EMPLOYED": 5,
    "STUDENT": 7,
    "UNEMPLOYED": 9,
}
CONTRACT = {"PERMANENT": 2, "CONTRACT": 5, "TEMPORARY": 7, "FREELANCE": 8}
INDUSTRY = {
    "GOVERNMENT": 1,
    "HEALTHCARE": 2,
    "UTILITIES": 2,
    "EDUCATION": 2,
    "INSURANCE": 3,
    "TECHNOLOGY": 3,
    "FINANCE": 4,
    "PROFESSIONAL_SERVICES": 4,
    "TELECOMMUNICATIONS": 4,
    "MANUFACTURING": 5,
    "TRANSPORTATION": 5,
    "ENERGY": 6,
    "RETAIL": 7,
    "REAL_ESTATE": 7,
    "HOSPITALITY": 8,
    "CONSTRUCTION": 8,
    "ENTERTAINMENT": 9,
}
FAMILY = {
    "MARRIED_DUAL_INCOME": 1,
    "MARRIED_SINGLE_INCOME": 3,
    "SINGLE_NO_DEPENDENTS": 4,
    "UNMARRIED_LIVING_TOGETHER": 5,
    "DIVORCED_NO_DEPENDENTS": 5,
    "SINGLE_WITH_DEPENDENTS": 8,
    "DIVORCED_WITH_DEPENDENTS": 9,
    "WIDOWED_WITH_DEPENDENTS": 9,
}
INCOME = Decimal("1333.33")
CENT = Decimal("0.01")
DEBTS = [
    (income, balance)
    for income, balances in {
        INCOME: [k * INCOME + d for k in (1, 3, 6) for d in (-CENT, Decimal(0), CENT)] + [Decimal("0.00")],
        Decimal("0.00"): [Decimal("250.00"), Decimal("0.00")],
        Decimal("-10.00"): [Decimal("250.00")],
        None: [Decimal("250.00")],
    }.items()
    for balance in balances
]
LATE = (0, 1, 2, 3, 5, 6, 40, None)


def ratio_points(income: Decimal | None, balance: Decimal) -> int:
    if income is None:
        return 5
    if income <= 0:
        return 10
    ratio = Fraction(balance) / Fraction(income)
    if ratio <= 1:
        return 2
    if ratio <= 3:
        return 5
    if ratio <= 6:
        return 7
    return 10


def late_points(late: int | None) -> int:
    if late is None:
        return 5
    if late == 0:
        return 1
    if late <= 2:
        return 4
    if late <= 5:
        return 7
    return 10


def level_of(share: Fraction) -> str:
    if share <= Fraction(30, 100):
        return "LOW"
    if share <= Fraction(60, 100):
        return "MEDIUM"
    if share <= Fraction(80, 100):
        return "HIGH"
    return "CRITICAL"


def priority_of(above: bool, level: str) -> int:
    if above:
        return 3 if level in ("HIGH", "CRITICAL") else 2
    return 1 if level in ("HIGH", "CRITICAL") else 0


def likely_non_payment(raw: int) -> float:
    """In basis points, before rounding, of a sum of weights × points of expected-recovery."""
    return 10_000 / (1 + math.exp((200 - raw) / 100))


def net_recovery_cents(balance: Decimal, non_payment: int) -> int:
    expected = Fraction(balance) * 100 * (10_000 - non_payment) / 10_000
    return math.floor(expected + Fraction(1, 2)) - 25_00


def test_every_combination_of_categories_scores_as_published(
    recovery: Scorecard, ecoa: Scorecard, expected_recovery: Scorecard
) -> None:
    levels = set()
    priorities = set()
    combinations = list(product(EMPLOYMENT, CONTRACT, INDUSTRY, FAMILY))
    assert len(combinations) == 6 * 4 * 17 * 8
    for i, (employment, contract, industry, family) in enumerate(combinations):
        for j, (income, balance) in enumerate(DEBTS):
            late = LATE[(i + j) % len(LATE)]
            facts = DebtorFacts(
                monthly_income=income,
                late_payments_count=late,
                employment_status=employment,
                contract_type=contract,
                industry_sector=industry,
                family_situation=family,
            )
            total = (
                9 * ratio_points(income, balance)
                + 9 * late_points(late)
                + 8 * EMPLOYMENT[employment]
                + 7 * CONTRACT[contract]
                + 6 * INDUSTRY[industry]
                + 6 * FAMILY[family]
            )
            score = recovery.score(facts, balance)
            level = level_of(Fraction(total, 450))
            assert (score.total, score.level) == (total, level), (facts, balance)
            assert score.priority_score == total * balance
            assert score.high_priority == (total * balance > 500_000)
            assert score.priority == priority_of(score.high_priority, level)
            levels.add(score.level)
            priorities.add(score.priority)

            without_family = total - 6 * FAMILY[family]
            fair = ecoa.score(facts, balance)
            assert abs(fair.total - Fraction(without_family * 450, 390)) <= Fraction(1, 2)
            assert fair.level == level_of(Fraction(without_family, 390)), (facts, balance)

            likely = expected_recovery.score(facts, balance)
            raw = 12 * ratio_points(income, balance) + 14 * late_points(late)
            raw += 10 * EMPLOYMENT[employment] + 6 * CONTRACT[contract] + 4 * INDUSTRY[industry]
            assert abs(likely.total - likely_non_payment(raw)) <= 0.5 + 1e-9, (facts, balance)
            assert likely.level == level_of(Fraction(likely.total, 10_000))
            assert likely.rank == net_recovery_cents(balance, likely.total), (facts, balance)
            assert likely.priority == priority_of(likely.rank > 1000_00, likely.level)
    assert levels == {"LOW", "MEDIUM", "HIGH", "CRITICAL"}
    assert priorities == {0, 1, 2, 3}


@pytest.mark.parametrize(("late", "points"), [(0, 1), (1, 4), (2, 4), (3, 7), (5, 7), (6, 10), (None, 5)])
def test_late_payments_score_by_their_bin(recovery: Scorecard, late: int | None, points: int) -> None:
    assert recovery.score(DebtorFacts(late_payments_count=late), Decimal(100)).points[1] == points
