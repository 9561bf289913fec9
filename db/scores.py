"""Scores: written set-based by a run, or for single accounts when they are made or change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import polars as pl
from psycopg.rows import tuple_row
from sqlalchemy import func, make_url, select, text

from db import model_statements, score_statements
from db.model_scoring import INPUTS, Evaluated, ModelFailed, evaluate
from db.models import AccountScore, ScoringChunk, ScoringRun
from db.scorecard_sql import score_sql
from db.store import Store
from domain.accounts import WORKABLE_STATUSES
from domain.errors import Unavailable
from domain.scoring import ModelCard, Scorecard, Scorer

MOST_ROUNDS = 20
"""How often scores that another transaction has overtaken are worked out anew before that is given up."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring some accounts came to, in accounts; ``levels`` counts them by risk level.

    ``changed`` are those whose score was written, because it was new or another than before; ``outrun`` those
    that another transaction scored at the same time. ``failed`` are the accounts that ``errors`` counts,
    each with the reason.
    """

    scored: int = 0
    changed: int = 0
    outrun: int = 0
    errors: int = 0
    high_priority: int = 0
    levels: Mapping[str, int] | None = None
    failed: tuple[tuple[UUID, str], ...] = ()


class ScoreStore(Store):
    """Current scores of one agency, and the history of those that were."""

    async def score_chunk(
        self, run: ScoringRun, chunk: ScoringChunk, scorer: Scorer, *, first: bool = False
    ) -> Scored:
        """Score the accounts of a chunk as they are now. ``ModelFailed`` for a model without an answer,
        ``Unavailable`` when others keep scoring them from newer rows.

        ``first``: this transaction has made them, so that they have no score yet, which is quicker.
        """
        values: dict[str, Any] = {"run": run.id}
        if chunk.first_id is None:
            accounts = score_statements.ACCOUNTS_OF_BUCKET
            values |= {"import": run.import_id, "chunk": chunk.chunk}
        else:
            accounts = score_statements.ACCOUNTS_IN_RANGE
            values |= {"first": chunk.first_id, "last": chunk.last_id}
        return await self._score(
            accounts, values, scorer, run.scorecard_id, scorer.limit(run.threshold), first=first
        )

    async def score_accounts(
        self,
        account_ids: Sequence[UUID],
        scorer: Scorer,
        scorecard_id: UUID,
        *,
        threshold: Decimal | None,
    ) -> Scored:
        """Score single accounts as they are in this transaction; no threshold is the scorer's own.

        Their scores are locked first: one that a run is about to commit is waited for and compared with.
        A model that fails makes each of them an error: what changed them must not be lost to that.
        ``Unavailable`` when others keep scoring them from newer rows.
        """
        await self._fetch(_LOCK_SCORES, {"agency": self._agency_id, "accounts": list(account_ids)})
        return await self._score(
            score_statements.ACCOUNTS_NAMED,
            {"accounts": list(account_ids), "run": None},
            scorer,
            scorecard_id,
            scorer.limit(threshold),
            strict=False,
        )

    async def levels(self) -> dict[str, int]:
        """How many accounts there are of each risk level now."""
        rows = await self._session.execute(
            select(AccountScore.level, func.count().label("accounts"))
            .where(AccountScore.agency_id == self._agency_id)
            .group_by(AccountScore.level)
        )
        return {row.level: row.accounts for row in rows}

    async def refresh_statistics(self) -> None:
        """Tell the planner of many new scores now; of its own accord it may learn much later."""
        await self._session.execute(text("SELECT analyze_scores()"))

    async def _score(
        self,
        accounts: str,
        values: Mapping[str, Any],
        scorer: Scorer,
        scorecard_id: UUID,
        threshold: Decimal,
        *,
        strict: bool = True,
        first: bool = False,
    ) -> Scored:
        if strict:
            await self._session.execute(_SETTINGS)
        write = score_statements.write_first if first else score_statements.write
        bound = {
            "agency": self._agency_id,
            "card": scorecard_id,
            "threshold": threshold,
            "workable": sorted(WORKABLE_STATUSES),
            **values,
        }
        if isinstance(scorer, ModelCard):

            async def once() -> Scored:
                return await self._score_by_model(accounts, bound, scorer, threshold, write, strict=strict)
        else:
            statement = _statement(_Judge(scorer, threshold), accounts, first=first)

            async def once() -> Scored:
                return _summed(await self._fetch(statement, bound))

        done = await once()
        for _ in range(MOST_ROUNDS):
            if not done.outrun:
                return done
            # Neither score need be of all the newest rows; the next statement sees what both have written.
            again = await once()
            done = replace(again, changed=done.changed + again.changed)
        if done.outrun:
            raise Unavailable(
                f"the scores of {done.outrun} accounts were overtaken {MOST_ROUNDS} times; try again later"
            )
        return done

    async def _score_by_model(
        self,
        accounts: str,
        values: Mapping[str, Any],
        model: ModelCard,
        threshold: Decimal,
        write: Callable[[str], str],
        *,
        strict: bool,
    ) -> Scored:
        """Show the accounts to the model, then write what it says as any other score."""
        for statement in model_statements.MAKE_TABLES:
            await self._session.execute(text(statement))
        await self._session.execute(
            text(model_statements.read_inputs(accounts, model.used_facts)), dict(values)
        )
        told = await self._told(model, threshold, strict=strict)
        written = await self._session.execute(text(write(model_statements.SCORED)), dict(values))
        if told.errors:
            await self._session.execute(text(model_statements.KEEP_UP), dict(values))
        return replace(_summed([tuple(row) for row in written]), errors=len(told.errors), failed=told.errors)

    async def _told(self, model: ModelCard, threshold: Decimal, *, strict: bool) -> Evaluated:
        """What the model says of the accounts that were read, beside them in the database too."""
        driver = await self._driver()
        async with driver.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(model_statements.READ.encode())
            inputs = pl.DataFrame(await cursor.fetchall(), schema=INPUTS, orient="row")
            try:
                told = await evaluate(model, inputs, threshold)
            except ModelFailed as failed:
                if strict:
                    raise
                accounts = inputs["account_id"].to_list()
                return Evaluated(inputs.clear(), tuple((UUID(one), failed.message) for one in accounts))
            async with cursor.copy(model_statements.COPY_SCORES.encode()) as copy:
                await copy.write(told.scores.write_csv(include_header=False).encode())
        return told


class _Judge:
    """A scorecard and a threshold, the same for the same meaning: what a statement is remembered by."""

    def __init__(self, card: Scorecard, threshold: Decimal) -> None:
        self.card = card
        self.threshold = threshold
        self._key = (card.digest, threshold)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Judge) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


_PSYCOPG = make_url("postgresql+psycopg://").get_dialect()()


@lru_cache(maxsize=256)
def _statement(judge: _Judge, accounts: str, *, first: bool) -> bytes:
    """Made once: compiling a scorecard takes longer than scoring one account by it."""
    write = score_statements.write_first if first else score_statements.write
    score = score_sql(judge.card, threshold=judge.threshold).replace(":", r"\:")
    statement = text(write(score_statements.scored_by_sql(accounts, score, judge.card.used_facts)))
    return str(statement.compile(dialect=_PSYCOPG)).encode()


def _summed(rows: Sequence[Sequence[Any]]) -> Scored:
    """What ``score_statements.write`` answers: level, scored, high priority, changed, outrun."""
    levels = {row[0]: int(row[1]) for row in rows}
    return Scored(
        scored=sum(levels.values()),
        changed=int(rows[0][3]) if rows else 0,
        outrun=int(rows[0][4]) if rows else 0,
        high_priority=sum(int(row[2]) for row in rows),
        levels=levels,
    )


_LOCK_SCORES = b"""
    SELECT account_id FROM account_score
     WHERE agency_id = %(agency)s AND account_id = ANY (%(accounts)s)
     ORDER BY account_id FOR UPDATE
"""

_SETTINGS = text("""
    SELECT set_config('work_mem', '64MB', true), set_config('max_parallel_workers_per_gather', '0', true)
""")
