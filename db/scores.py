"""Scores: written set-based by a run, or for single accounts when they are made or change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from db import score_statements
from db.models import AccountScore, ScoringChunk, ScoringRun
from db.scorecard_sql import score_sql
from db.store import Store
from domain.accounts import WORKABLE_STATUSES
from domain.scoring import Scorecard


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring some accounts came to, in accounts; ``levels`` counts them by risk level.

    ``changed`` are those whose score was written, because it was new or another than before.
    """

    scored: int = 0
    changed: int = 0
    errors: int = 0
    high_priority: int = 0
    levels: Mapping[str, int] | None = None


class ScoreStore(Store):
    """Current scores of one agency, and the history of those that were."""

    async def score_chunk(self, run: ScoringRun, chunk: ScoringChunk, scorer: Scorecard) -> Scored:
        """Score the accounts of a chunk as they are now."""
        threshold = scorer.high_priority_above if run.threshold is None else run.threshold
        values: dict[str, Any] = {"run": run.id}
        if chunk.first_id is None:
            accounts = score_statements.ACCOUNTS_OF_BUCKET
            values |= {"import": run.import_id, "chunk": chunk.chunk}
        else:
            accounts = score_statements.ACCOUNTS_IN_RANGE
            values |= {"first": chunk.first_id, "last": chunk.last_id}
        return await self._score(accounts, values, scorer, run.scorecard_id, threshold)

    async def score_accounts(
        self,
        account_ids: Sequence[UUID],
        scorer: Scorecard,
        scorecard_id: UUID,
        *,
        threshold: Decimal | None,
    ) -> Scored:
        """Score single accounts as they are in this transaction; no threshold is the scorer's own."""
        return await self._score(
            score_statements.ACCOUNTS_NAMED,
            {"accounts": list(account_ids), "run": None},
            scorer,
            scorecard_id,
            scorer.high_priority_above if threshold is None else threshold,
        )

    async def levels(self) -> dict[str, int]:
        """How many accounts there are of each risk level now."""
        rows = await self._session.execute(
            select(AccountScore.level, func.count())
            .where(AccountScore.agency_id == self._agency_id)
            .group_by(AccountScore.level)
        )
        return dict(rows.tuples().all())

    async def refresh_statistics(self) -> None:
        """Tell the planner of many new scores now; of its own accord it may learn much later."""
        await self._session.execute(text("SELECT analyze_scores()"))

    async def _score(
        self,
        accounts: str,
        values: Mapping[str, Any],
        scorer: Scorecard,
        scorecard_id: UUID,
        threshold: Decimal,
    ) -> Scored:
        score = score_sql(scorer, threshold=threshold).replace(":", r"\:")
        scored = score_statements.scored_by_sql(accounts, score, scorer.used_facts)
        await self._session.execute(_SETTINGS)
        rows = await self._session.execute(
            text(score_statements.write(scored)),
            {
                "agency": self._agency_id,
                "card": scorecard_id,
                "threshold": threshold,
                "workable": sorted(WORKABLE_STATUSES),
                **values,
            },
        )
        return _summed(rows.all())


def _summed(rows: Sequence[Any]) -> Scored:
    levels = {row.level: int(row.scored) for row in rows}
    return Scored(
        scored=sum(levels.values()),
        changed=int(rows[0].changed) if rows else 0,
        high_priority=sum(int(row.high_priority) for row in rows),
        levels=levels,
    )


_SETTINGS = text("""
    SELECT set_config('work_mem', '64MB', true), set_config('max_parallel_workers_per_gather', '0', true)
""")
