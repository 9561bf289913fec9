"""Expected recovery: probability of payment × balance − cost of work, in whole numbers.

A probability is a whole number of basis points (1/100 of a percent, 0 to 10,000), so that the order of
a worklist never hangs on how a computer rounds fractions.
"""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.money import Money, cents
from domain.scoring.definition import percent
from domain.scoring.scores import Score

CERTAIN = 10_000
"""A probability of one, in basis points; the maximum of every scorer of expected recovery."""

MAX_SUM = 10_000
"""The most that weighted points may add up to: 100 of log-odds, far beyond any debtor."""

_DIGITS = 50

CostOfWork = Annotated[Money, Field(ge=0, description="what working one account costs")]


class ExpectedRecovery(BaseModel):
    """Makes a scorecard logistic: its sum of weights × points is a probability of non-payment.

    ``intercept`` is in hundredths of log-odds, as weights × points are: p = 1 ÷ (1 + e^−x) with
    x = (intercept + Σ weight × points) ÷ 100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: Annotated[int, Field(strict=True, ge=-MAX_SUM, le=MAX_SUM)]
    cost_of_work: CostOfWork


@lru_cache(maxsize=64)
def non_payment_table(intercept: int, most: int) -> tuple[int, ...]:
    """The probability of non-payment, in basis points rounded half up, of each sum from 0 to ``most``.

    Worked out once with 50 decimal digits; both forms of a scorecard look it up.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        return tuple(
            int((CERTAIN / (1 + (Decimal(-intercept - points) / 100).exp())).to_integral_value(ROUND_HALF_UP))
            for points in range(most + 1)
        )


def net_recovery(balance: Decimal, non_payment: int, cost_of_work: Decimal) -> int:
    """Expected net recovery in cents: what is likely to come in, rounded half up, less the work.

    ``non_payment`` is in basis points. Less than zero when the work costs more. ``ValueError`` for an
    amount with a fraction of a cent.
    """
    expected = (cents(balance) * (CERTAIN - non_payment) + CERTAIN // 2) // CERTAIN
    return expected - cents(cost_of_work)


def non_payment_in_words(score: Score) -> str:
    """What the total says."""
    likely = percent(score.total, CERTAIN, "0.01")
    return (
        f"The probability of non-payment is {likely} % (total {score.total} of {CERTAIN}): "
        f"risk level {score.level}."
    )


def net_recovery_in_words(score: Score, balance: Decimal, cost_of_work: Decimal) -> str:
    """How the priority score came about, up to the comparison with the threshold."""
    likely = percent(CERTAIN - score.total, CERTAIN, "0.01")
    return (
        f"Expected net recovery {balance:,.2f} × {likely} % − {cost_of_work:,.2f} for the work "
        f"= {score.priority_score:,.2f}"
    )
