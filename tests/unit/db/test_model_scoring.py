import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.model_scoring import INPUTS, ModelFailed, evaluate
from domain.scoring import ModelCard

CARD: dict[str, Any] = {
    "kind": "model",
    "name": "payment-model",
    "version": 1,
    "title": "Payment model",
    "predict": "our_models:even",
    "uses": ["employment_status", "monthly_income", "late_payments_count"],
    "leaves_out": dict.fromkeys(["contract_type", "industry_sector", "family_situation"], "adds nothing"),
    "cost_of_work": "12.50",
    "high_priority_above": "750",
    "levels": [
        {"level": level, "up_to_percent": percent}
        for level, percent in {"LOW": 30, "MEDIUM": 60, "HIGH": 80, "CRITICAL": 100}.items()
    ],
}
SECRET = "Jane Roe, 078-05-1120"


def model(predict: Callable[[pl.DataFrame], Any]) -> ModelCard:
    card = ModelCard.model_validate(CARD)
    card.bind(predict)
    return card


def inputs(balances: Sequence[Decimal]) -> pl.DataFrame:
    rows = [
        (str(UUID(int=n)), int(balance * 100), 250_000, 3, "EMPLOYED", None, None, None)
        for n, balance in enumerate(balances)
    ]
    return pl.DataFrame(rows, schema=INPUTS, orient="row")


HUNDRED = [Decimal(100)] * 3
THRESHOLD = Decimal(750)


async def test_a_model_sees_the_balance_and_its_own_facts_and_nothing_else() -> None:
    seen: list[pl.DataFrame] = []
    threads: list[int] = []

    def predict(frame: pl.DataFrame) -> list[float]:
        seen.append(frame)
        threads.append(threading.get_ident())
        return [0.5]

    await evaluate(model(predict), inputs([Decimal("123.45")]), THRESHOLD)
    assert seen[0].schema == {
        "balance": pl.Float64,
        "monthly_income": pl.Float64,
        "late_payments_count": pl.Int64,
        "employment_status": pl.String,
    }
    assert seen[0].rows() == [(123.45, 2500.0, 3, "EMPLOYED")]
    assert threads != [threading.get_ident()]


@given(
    rows=st.lists(
        st.tuples(st.decimals(0, Decimal("999999999999.99"), places=2), st.integers(0, 10_000)), min_size=1
    ),
    threshold=st.decimals(0, 100_000, places=2),
)
@settings(deadline=None, max_examples=50)
async def test_scores_are_those_of_the_single_account_form(
    rows: list[tuple[Decimal, int]], threshold: Decimal
) -> None:
    balances = [balance for balance, _ in rows]
    card = model(lambda _: [payment / 10_000 for _, payment in rows])
    found = (await evaluate(card, inputs(balances), threshold)).scores
    expected = [card.score(10_000 - payment, balance, threshold=threshold) for balance, payment in rows]
    assert found.drop("account_id").rows() == [
        (score.total, score.level, score.priority, score.rank, score.high_priority) for score in expected
    ]


@pytest.mark.parametrize(
    ("payment", "total"),
    [(0.0, 10_000), (1.0, 0), (0.00005, 9_999), (0.00004999, 10_000), (0.99995, 0), (0.5, 5_000), (1, 0)],
)
async def test_probabilities_are_rounded_to_basis_points(payment: float, total: int) -> None:
    told = await evaluate(model(lambda _: [payment]), inputs([Decimal(1)]), THRESHOLD)
    assert told.scores["total"].to_list() == [total]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (float("nan"), "nan as the probability"),
        (None, "no probability"),
        (1.0000001, "1.0000001 as"),
        (-0.1, "-0.1 as"),
        (float("inf"), "inf as"),
        (float("-inf"), "-inf as"),
    ],
)
async def test_an_answer_that_is_no_probability_is_an_error_of_that_account(bad: Any, said: str) -> None:
    told = await evaluate(model(lambda _: [0.25, bad, 0.75]), inputs(HUNDRED), THRESHOLD)
    assert told.scores["total"].to_list() == [7_500, 2_500]
    [(account, error)] = told.errors
    assert account == UUID(int=1)
    assert error.startswith("the model payment-model version 1 gave ")
    assert said in error


@pytest.mark.parametrize(
    "answer",
    [
        [0.5, 0.5, 0.5],
        (0.5, 0.5, 0.5),
        np.array([0.5, 0.5, 0.5]),
        np.array([0.5, 0.5, 0.5], dtype=np.float32),
        np.array([0.5, 0.5, 0.5], dtype=object),
        [np.float64(0.5)] * 3,
        [Decimal("0.5")] * 3,
        pl.Series([0.5, 0.5, 0.5]),
        pl.Series([0.5, 0.5, 0.5], dtype=pl.Float32),
    ],
)
async def test_any_sequence_of_numbers_will_do(answer: Any) -> None:
    told = await evaluate(model(lambda _: answer), inputs(HUNDRED), THRESHOLD)
    assert told.scores["total"].to_list() == [5_000] * 3
    assert told.errors == ()


@pytest.mark.parametrize("answer", [pl.Series([None] * 3), [None] * 3, np.array([np.nan] * 3)])
async def test_a_model_without_one_answer_is_an_error_of_every_account(answer: Any) -> None:
    told = await evaluate(model(lambda _: answer), inputs(HUNDRED), THRESHOLD)
    assert told.scores.is_empty()
    assert len(told.errors) == 3


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([0.5, 0.5], "answered 2 probabilities, for 3 accounts"),
        (np.zeros(4), "answered 4 probabilities"),
        (pl.Series([0.5]), "answered 1 probabilities"),
        ([], "answered 0 probabilities"),
        (np.zeros((3, 2)), "something else than numbers"),
        ([[0.1, 0.9]] * 3, "something else than numbers"),
        ([0.5, SECRET, 0.5], "something else than numbers"),
        ([True, False, True], "something else than numbers"),
        ([10**400] * 3, "something else than numbers"),
        (pl.Series([SECRET] * 3), "answered String instead of numbers"),
        (pl.Series([True] * 3), "answered Boolean instead of numbers"),
        (None, "answered NoneType, no sequence"),
        (0.5, "answered float, no sequence"),
        (np.float64(0.5), "answered float, no sequence"),
        (SECRET, "answered str, no sequence"),
        ({"a": 1}, "answered dict, no sequence"),
        ((0.5 for _ in range(3)), "answered generator, no sequence"),
    ],
)
async def test_an_answer_of_another_shape_fails_the_model(answer: Any, fault: str) -> None:
    with pytest.raises(ModelFailed) as failed:
        await evaluate(model(lambda _: answer), inputs(HUNDRED), THRESHOLD)
    assert fault in failed.value.message
    assert "Correct our_models:even" in failed.value.message
    assert SECRET not in str(failed.value)
    assert not failed.value.retryable


@pytest.mark.parametrize("error", [LookupError, SystemExit, pl.exceptions.PanicException])
async def test_a_model_that_raises_is_told_by_type_and_place_never_by_its_words(
    error: type[BaseException],
) -> None:
    """Even what would end a process ends the run only, in which the model was asked."""

    def predict(frame: pl.DataFrame) -> list[float]:
        raise error(SECRET)

    with pytest.raises(ModelFailed) as failed:
        await evaluate(model(predict), inputs(HUNDRED), THRESHOLD)
    assert f"raised {error.__name__} (test_model_scoring.py, line " in failed.value.message
    assert SECRET not in failed.value.message
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


async def test_without_accounts_the_model_is_not_asked() -> None:
    told = await evaluate(model(lambda _: 1 / 0), inputs([]), THRESHOLD)
    assert told.scores.is_empty()
    assert told.errors == ()
