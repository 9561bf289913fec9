"""Scoring by a plugged-in model: its probabilities are checked one by one, then all is whole numbers.

What a model is given and answers is of floating point. Money meets none of it: each probability becomes
basis points where it comes in, and amounts are worked out from cents.
"""

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl

from domain.errors import DomainError
from domain.money import cents
from domain.scoring import ModelCard
from domain.scoring.facts import FACT_NAMES
from domain.scoring.recovery import CERTAIN
from domain.scoring.scores import URGENT_LEVELS

INPUTS = pl.Schema(
    {
        "account_id": pl.String,
        "balance": pl.Int64,
        **dict.fromkeys(FACT_NAMES, pl.String),
        "monthly_income": pl.Int64,
        "late_payments_count": pl.Int64,
    }
)
"""The rows that are evaluated: amounts in cents, what is not known is null."""

ANSWERS = ("account_id", "total", "level", "priority", "rank", "high_priority")
"""The columns of a score by a model, named and typed as those of ``db.scorecard_sql``."""

_AMOUNTS = frozenset({"balance", "monthly_income"})


class ModelFailed(DomainError):
    """A model that gave no usable answer at all; quotes neither its words nor what it was shown."""

    type = "model-failed"
    title = "The model failed"
    status = 500


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a model said: scores as a frame of ``ANSWERS``, and accounts without one, with the reason."""

    scores: pl.DataFrame
    errors: tuple[tuple[UUID, str], ...]


async def evaluate(model: ModelCard, inputs: pl.DataFrame, threshold: Decimal) -> Evaluated:
    """Score the rows of ``inputs`` (columns of ``INPUTS``) by ``model``, in a thread of its own.

    An account whose probability is missing, NaN or outside 0 to 1 is an error, the others are scored.
    Raises ``ModelFailed`` when the callable raises, answers another number of rows, or no numbers.
    """
    if inputs.is_empty():
        return Evaluated(_scores(model, inputs, pl.Series([], dtype=pl.Int64), threshold), ())
    answer = await asyncio.to_thread(_ask, model, _shown(model, inputs))
    payment = _probabilities(model, answer, inputs.height)
    good = payment.is_between(0, 1).fill_null(value=False)  # NaN lies above every number
    errors = [
        (UUID(account), _complaint(model, value))
        for account, value in zip(
            inputs["account_id"].filter(~good), payment.filter(~good).to_list(), strict=True
        )
    ]
    basis_points = (payment.filter(good) * CERTAIN).round(0, mode="half_away_from_zero").cast(pl.Int64)
    return Evaluated(_scores(model, inputs.filter(good), CERTAIN - basis_points, threshold), tuple(errors))


def _shown(model: ModelCard, inputs: pl.DataFrame) -> pl.DataFrame:
    """What the model sees: the balance and the facts that it uses, amounts as fractions."""
    return inputs.select(
        (pl.col(name) / 100).alias(name) if name in _AMOUNTS else pl.col(name)
        for name in ("balance", *model.used_facts)
    )


def _ask(model: ModelCard, frame: pl.DataFrame) -> Any:
    try:
        answer = model.predictor(frame)
        return answer.tolist() if hasattr(answer, "tolist") else answer
    except BaseException as error:  # noqa: BLE001 (an exit, too, is the model's alone)
        ours, *theirs = traceback.extract_tb(error.__traceback__)
        at = theirs[0] if theirs else ours
        place = f"{Path(at.filename).name}, line {at.lineno}"
        raise _failed(model, f"raised {type(error).__name__} ({place})", frame.height) from None


def _probabilities(model: ModelCard, answer: Any, rows: int) -> pl.Series:
    """The answer as floats, null where there is none."""
    if not isinstance(answer, pl.Series | Sequence) or isinstance(answer, str | bytes):
        raise _failed(model, f"answered {type(answer).__name__}, no sequence of numbers", rows)
    if len(answer) != rows:
        raise _failed(model, f"answered {len(answer)} probabilities", rows)
    try:
        series = answer if isinstance(answer, pl.Series) else pl.Series(_numbers(answer), dtype=pl.Float64)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise _failed(model, "answered something else than numbers", rows) from None
    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise _failed(model, f"answered {series.dtype} instead of numbers", rows)
    return series.cast(pl.Float64)


def _numbers(answer: Sequence[Any]) -> Sequence[Any]:
    """A verdict of yes or no is no probability, though Python counts with it. Raises ``TypeError``."""
    if any(isinstance(value, bool) for value in answer):
        raise TypeError
    return answer


def _scores(
    model: ModelCard, inputs: pl.DataFrame, non_payment: pl.Series, threshold: Decimal
) -> pl.DataFrame:
    """The vectorised form of ``ModelCard.score``."""
    total, rank = pl.col("total"), pl.col("rank")
    level = pl.lit(model.levels[-1].level.value)
    for band in reversed(model.levels[:-1]):
        level = (
            pl.when(total * 100 <= band.up_to_percent * CERTAIN)
            .then(pl.lit(band.level.value))
            .otherwise(level)
        )
    expected = (pl.col("balance") * (CERTAIN - total) + CERTAIN // 2) // CERTAIN
    return (
        inputs.select("account_id", "balance", total=non_payment)
        .with_columns(level=level, rank=expected - cents(model.cost_of_work))
        .with_columns(high_priority=rank > cents(threshold))
        .with_columns(
            priority=2 * pl.col("high_priority").cast(pl.Int64)
            + pl.col("level").is_in([urgent.value for urgent in URGENT_LEVELS]).cast(pl.Int64)
        )
        .select(ANSWERS)
    )


def _complaint(model: ModelCard, value: float | None) -> str:
    said = "no probability of payment" if value is None else f"{value} as the probability of payment"
    return (
        f"the model {model.name} version {model.version} gave {said}, which must be a number from 0 to 1; "
        "the account keeps its former score"
    )


def _failed(model: ModelCard, what: str, rows: int) -> ModelFailed:
    return ModelFailed(
        f"the model {model.name} version {model.version} {what}, for {rows} accounts; it must answer one "
        f"probability of payment (0 to 1) for each. Correct {model.predict}, then score again"
    )
