"""What an account scored when and why: from the inputs and the scorecard version that were stored then."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from domain.errors import NotFound
from domain.money import LargeMoney, Money
from domain.scoring import DebtorFacts, FactorExplanation, RiskLevel, Scorecard
from domain.scoring.facts import FACT_NAMES, inputs_hash
from domain.scoring.scorers import explain
from services.access import Principal, Right, require
from services.account_views import priority_score
from services.accounts import visible_account
from services.fields import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.keyset import Position
    from db.models import AccountScoreHistory
    from db.session import Database, Transaction
    from domain.scoring import Scorer

_COMPARED = ("total", "level", "priority", "rank", "high_priority", "points")


class ScoreInputs(DebtorFacts):
    """What a score was made from; facts that its scorecard does not use are null."""

    balance: Money


class HistoricScore(View):
    """A score as it was made. ``points`` by factor, before weighting; a model tells none.

    It held from ``scored_at`` until the next one. ``threshold`` is the priority score above which it
    counted as of high priority; ``run_id`` is null when no run made it.
    """

    scored_at: datetime
    total: int
    level: RiskLevel
    priority: int
    priority_score: LargeMoney
    high_priority: bool
    threshold: Money
    scorecard: str
    scorecard_version: int
    run_id: UUID | None
    inputs: ScoreInputs
    points: dict[str, int]


class ScoreOfDay(HistoricScore):
    """The score of a day in words. ``differences`` names what comes out otherwise today, if anything does."""

    at: datetime
    reproduced: Annotated[
        bool | None,
        Field(
            description="whether the stored scorecard gives the stored score for the stored inputs; null for "
            "a plugged-in model, whose answer cannot be worked out again from its card"
        ),
    ]
    differences: tuple[str, ...]
    factors: tuple[FactorExplanation, ...]
    summary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreBreach:
    """A stored score that its inputs and its scorecard do not give; ``differs`` names the fields."""

    account_id: UUID
    scored_at: datetime
    scorecard: str
    differs: tuple[str, ...]


class ScoreHistoryService:
    """The scores of accounts that the principal may see."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def page(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[tuple[AccountScoreHistory, HistoricScore]]":
        """At most ``limit`` scores next to ``(scored_at, id)``, nearest first; newest first.

        ``NotFound`` when the account is not there or not the principal's.
        """
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            rows = await tx.score_history.page(account_id, position, limit)
            cards = {card_id: await tx.scorecards.get(card_id) for card_id in {r.scorecard_id for r in rows}}
        return [(row, _historic(row, cards[row.scorecard_id])) for row in rows]

    async def at(self, who: Principal, account_id: UUID, moment: datetime) -> ScoreOfDay:
        """Why an account scored what it did at a moment. ``NotFound`` as ``page``, or before its first."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            row = await tx.score_history.at(account_id, moment)
            if row is None:
                raise NotFound(f"the account had no score yet at {moment.isoformat()}; `/scores` lists all")
            card = await tx.scorecards.get(row.scorecard_id)
        return _explained(row, card, moment)


_TELL_EVERY = 1_000


async def breaches(
    tx: "Transaction", seen: "Seen", told: Callable[[], None] = lambda: None
) -> AsyncIterator[ScoreBreach]:
    """Stored scores of the tenant's agency that do not come out again.

    ``seen`` counts all that were read; ``told`` is called now and then while they are.
    """
    cards: dict[UUID, Scorer] = {}
    async for row in tx.score_history.every():
        if seen.read % _TELL_EVERY == 0:
            told()
        card = cards.get(row.scorecard_id)
        if card is None:
            card = cards[row.scorecard_id] = await tx.scorecards.get(row.scorecard_id)
        if not isinstance(card, Scorecard):
            seen.models += 1
            continue
        seen.derived += 1
        if differs := _differences(row, card):
            yield ScoreBreach(row.account_id, row.scored_at, f"{card.name} version {card.version}", differs)


@dataclass(slots=True)
class Seen:
    """Scores that were derived again, and those of models, which cannot be."""

    derived: int = 0
    models: int = 0

    @property
    def read(self) -> int:
        """All of them."""
        return self.derived + self.models


def _inputs(row: "AccountScoreHistory") -> ScoreInputs:
    return ScoreInputs(balance=row.balance, **{name: getattr(row, name) for name in FACT_NAMES})


def _differences(row: "AccountScoreHistory", card: Scorecard) -> tuple[str, ...]:
    """The fields of a stored score that its stored inputs do not give under its scorecard."""
    facts = DebtorFacts.model_construct(**{name: getattr(row, name) for name in FACT_NAMES})
    score = card.score(facts, row.balance, threshold=row.threshold)
    stored = {name: getattr(row, name) for name in _COMPARED} | {"points": tuple(row.points)}
    differs = [name for name in _COMPARED if getattr(score, name) != stored[name]]
    if inputs_hash(row.balance, facts, card.used_facts) != row.inputs_hash:
        differs.append("inputs")
    return tuple(differs)


def _values(row: "AccountScoreHistory", card: "Scorer") -> Mapping[str, object]:
    names = [factor.name for factor in card.factors] if isinstance(card, Scorecard) else []
    return {
        "scored_at": row.scored_at,
        "total": row.total,
        "level": row.level,
        "priority": row.priority,
        "priority_score": priority_score(row.rank),
        "high_priority": row.high_priority,
        "threshold": row.threshold,
        "scorecard": card.name,
        "scorecard_version": card.version,
        "run_id": row.run_id,
        "inputs": _inputs(row),
        "points": dict(zip(names, row.points, strict=False)),
    }


def _historic(row: "AccountScoreHistory", card: "Scorer") -> HistoricScore:
    return HistoricScore.model_validate(_values(row, card))


def _explained(row: "AccountScoreHistory", card: "Scorer", moment: datetime) -> ScoreOfDay:
    inputs = _inputs(row)
    words = explain(card, inputs, inputs.balance, total=row.total, threshold=Decimal(row.threshold))
    differs = _differences(row, card) if isinstance(card, Scorecard) else ()
    return ScoreOfDay.model_validate(
        {
            **_values(row, card),
            "at": moment,
            "reproduced": not differs if isinstance(card, Scorecard) else None,
            "differences": differs,
            "factors": words.factors,
            "summary": words.summary,
        }
    )
