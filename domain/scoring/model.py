"""A model of one's own as a scorer: what its card says, and how its answers become scores.

The card names a callable that gives each account a probability of payment; what follows is that of
``domain.scoring.recovery``: basis points, then amounts in whole cents.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from domain.scoring.definition import Definition
from domain.scoring.factors import DefinitionError
from domain.scoring.facts import FACT_NAMES, DebtorFacts, FactName
from domain.scoring.recovery import (
    CERTAIN,
    CostOfWork,
    net_recovery,
    net_recovery_in_words,
    non_payment_in_words,
)
from domain.scoring.scores import Explanation, Score

Predictor = Callable[[Any], Any]
"""Takes a ``polars.DataFrame`` (one row an account), gives a probability of payment for each row."""


class Artifact(BaseModel):
    """The file that a model is read from: ``file`` lies beside the card; ``sha256`` in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    sha256: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]


class ModelCard(Definition):
    """One immutable version of a model.

    ``predict`` is ``package.module:callable``; with an ``artifact`` it is called once, with the bytes
    of that file, and answers the callable. ``uses`` are the facts that the model is shown.
    """

    kind: Literal["model"]
    predict: Annotated[
        str, Field(strict=True, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200)
    ]
    uses: Annotated[tuple[FactName, ...], Field(min_length=1)]
    cost_of_work: CostOfWork
    artifact: Artifact | None = None

    _predictor: Predictor | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _every_fact_is_used_or_left_out(self) -> Self:
        for fact in FACT_NAMES:
            if self.uses.count(fact) > 1:
                raise DefinitionError(f"{fact} is named twice", "uses")
            if (fact in self.uses) == (fact in self.leaves_out):
                problem = "is used, yet left out" if fact in self.uses else "is not used"
                raise DefinitionError(
                    f"{fact} {problem}: use it, or name it and why under leaves_out", "uses"
                )
        return self

    @property
    def maximum(self) -> int:
        """The highest total: certain non-payment, in basis points."""
        return CERTAIN

    @property
    def used_facts(self) -> tuple[str, ...]:
        """The facts that the model is shown, in the order of ``FACT_NAMES``."""
        return tuple(name for name in FACT_NAMES if name in self.uses)

    @property
    def predictor(self) -> Predictor:
        """The callable. ``RuntimeError`` for a card that was read without it, as stored ones are."""
        if self._predictor is None:
            raise RuntimeError(f"the model {self.name} was read without its callable")
        return self._predictor

    def bind(self, predictor: Predictor) -> None:
        """Give the card its callable, once, when the card is loaded."""
        self._predictor = predictor

    def score(self, non_payment: int, balance: Decimal, *, threshold: Decimal | None = None) -> Score:
        """The score of one account whose probability of non-payment (basis points) the model has told."""
        if not 0 <= non_payment <= CERTAIN:
            raise ValueError(f"{non_payment} is no probability in basis points (0 to {CERTAIN})")
        rank = net_recovery(balance, non_payment, self.cost_of_work)
        return self.judged(non_payment, of=CERTAIN, rank=rank, points=(), threshold=threshold)

    def explain(
        self, non_payment: int, facts: DebtorFacts, balance: Decimal, *, threshold: Decimal | None = None
    ) -> Explanation:
        """``score`` in words. A model does not tell what each fact added, so there are no factors."""
        score = self.score(non_payment, balance, threshold=threshold)
        shown = "; ".join(
            f"{name.replace('_', ' ')} {_in_words(getattr(facts, name))}" for name in self.used_facts
        )
        recovery = net_recovery_in_words(score, balance, self.cost_of_work)
        return Explanation(
            scorecard=self.name,
            version=self.version,
            score=score,
            factors=(),
            summary=(
                *self.unused_in_words(),
                f"The model {self.title} was shown the balance {balance:,.2f}; {shown}.",
                non_payment_in_words(score),
                f"{recovery}, {self.priority_in_words(score, threshold)}",
            ),
        )


def _in_words(value: Decimal | int | str | None) -> str:
    match value:
        case None:
            return "not known"
        case Decimal():
            return f"{value:,.2f}"
        case _:
            return str(value).replace("_", " ").lower()
