"""What scoring would come to, without writing anything; and the accounts that are the best now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl
from sqlalchemy import text

from db import score_statements
from db.model_scoring import INPUTS, evaluate
from db.scorecard_sql import score_sql
from db.store import Store
from domain.accounts import WORKABLE_STATUSES
from domain.scoring import ModelCard, Scorer
from domain.scoring.facts import FACT_NAMES

_NEVER_STORED = UUID(int=0)
"""Stands for the id of a scorer that nothing was scored by yet."""


@dataclass(frozen=True, slots=True)
class Best:
    """One of the best accounts to work; ``rank`` is its priority score in cents."""

    account_id: UUID
    external_ref: str
    rank: int
    total: int
    level: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What scoring some accounts would come to, in accounts; ``levels`` counts them by risk level.

    ``changed`` are those whose score would be written; ``failed`` those without a score, with the reason;
    ``best`` the best of them to work, best first.
    """

    scored: int
    changed: int
    high_priority: int
    levels: Mapping[str, int]
    best: Sequence[Best]
    failed: Sequence[tuple[UUID, str]] = ()


class ScorePreviewStore(Store):
    """Reads of one agency's accounts and scores."""

    async def read_only(self) -> None:
        """Have PostgreSQL refuse every write of this transaction."""
        await self._session.execute(text("SET TRANSACTION READ ONLY"))

    async def count(self) -> int:
        """How many accounts there are."""
        counted = text("SELECT count(*) FROM account WHERE agency_id = :agency")
        found: int = (await self._session.scalars(counted, {"agency": self._agency_id})).one()
        return found

    async def next_range(self, after: UUID, limit: int) -> tuple[UUID, UUID] | None:
        """First and last id of the next ``limit`` accounts behind ``after``; None when there are none."""
        values = {"agency": self._agency_id, "after": after, "limit": limit}
        first, last = (await self._session.execute(_NEXT_RANGE, values)).one()
        return None if first is None else (first, last)

    async def best(self, limit: int) -> list[Best]:
        """The best accounts to work as they are scored now."""
        values = {"agency": self._agency_id, "top": limit}
        return [Best(**row) for row in (await self._session.execute(_BEST, values)).mappings()]

    async def preview(
        self,
        first: UUID,
        last: UUID,
        scorer: Scorer,
        scorecard_id: UUID | None,
        threshold: Decimal,
        *,
        top: int,
    ) -> Preview:
        """Score the accounts of a range of ids; ``scorecard_id`` is the scorer's, if it was ever stored.

        ``ModelFailed`` for a model without an answer.
        """
        values = {
            "agency": self._agency_id,
            "card": scorecard_id or _NEVER_STORED,
            "workable": sorted(WORKABLE_STATUSES),
            "first": first,
            "last": last,
        }
        if isinstance(scorer, ModelCard):
            return await self._preview_by_model(values, scorer, threshold, top)
        score = score_sql(scorer, threshold=threshold).replace(":", r"\:")
        scored = score_statements.scored_by_sql(score_statements.ACCOUNTS_IN_RANGE, score, scorer.used_facts)
        rows = (await self._session.execute(text(_preview(scored)), {**values, "top": top})).all()
        return Preview(
            scored=sum(row.scored for row in rows),
            changed=sum(row.changed for row in rows),
            high_priority=sum(row.high_priority for row in rows),
            levels={row.level: row.scored for row in rows},
            best=[_best(found) for found in (rows[0].best if rows else ())],
        )

    async def _preview_by_model(
        self, values: Mapping[str, Any], model: ModelCard, threshold: Decimal, top: int
    ) -> Preview:
        statement = text(_model_inputs(model.used_facts))
        rows = (await self._session.execute(statement, dict(values))).all()
        seen = pl.DataFrame([tuple(row) for row in rows], schema=_SEEN, orient="row")
        told = await evaluate(model, seen.select(INPUTS.names()), threshold)
        scores = told.scores.join(seen.select("account_id", *_PRESENT), on="account_id")
        best = scores.filter("queued").sort("rank", "account_id", descending=[True, False]).head(top)
        return Preview(
            scored=scores.height,
            changed=scores.filter(_MODEL_DIFFERS).height,
            high_priority=int(scores["high_priority"].sum()),
            levels=dict(scores.group_by("level").len().iter_rows()),
            best=[_best(found) for found in best.iter_rows(named=True)],
            failed=told.errors,
        )


def _best(found: Mapping[str, Any]) -> Best:
    return Best(
        account_id=UUID(found["account_id"]),
        external_ref=found["external_ref"],
        rank=found["rank"],
        total=found["total"],
        level=found["level"],
    )


_NEXT_RANGE = text("""
    SELECT (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1]
      FROM (SELECT id FROM account WHERE agency_id = :agency AND id > :after ORDER BY id LIMIT :limit) next
""")

_BEST = text("""
    SELECT account_id, external_ref, rank, total, level
      FROM (SELECT account_id, rank, total, level FROM account_score
             WHERE agency_id = :agency AND queued ORDER BY rank DESC, account_id LIMIT :top) best
     CROSS JOIN LATERAL (SELECT external_ref FROM account WHERE agency_id = :agency AND id = account_id) a
     ORDER BY rank DESC, account_id
""")


def _preview(scored: str) -> str:
    """One row for each risk level of the accounts of ``scored``, and in each the best of them all."""
    return f"""
    WITH scored AS MATERIALIZED ({scored}),
    compared AS (
        SELECT n.level, n.high_priority, o.account_id IS NULL OR {score_statements.DIFFERS} AS changed
          FROM scored n {score_statements.PRESENT_SCORE})
    SELECT level, count(*) AS scored, count(*) FILTER (WHERE high_priority) AS high_priority,
           count(*) FILTER (WHERE changed) AS changed, (
               SELECT COALESCE(jsonb_agg(jsonb_build_object(
                          'account_id', account_id, 'external_ref', external_ref, 'rank', rank,
                          'total', total, 'level', level) ORDER BY rank DESC, account_id), '[]')
                 FROM (SELECT account_id, rank, total, level FROM scored
                        WHERE queued ORDER BY rank DESC, account_id LIMIT :top) best
                CROSS JOIN LATERAL (
                    SELECT external_ref FROM account WHERE agency_id = :agency AND id = account_id) a) AS best
      FROM compared GROUP BY level"""


_PRESENT = pl.Schema(
    {
        "external_ref": pl.String,
        "queued": pl.Boolean,
        "same_inputs": pl.Boolean,
        "present_total": pl.Int64,
        "present_rank": pl.Int64,
        "present_priority": pl.Int64,
    }
)
_SEEN = pl.Schema([*INPUTS.items(), *_PRESENT.items()])
_MODEL_DIFFERS = (
    ~pl.col("same_inputs")
    | (pl.col("total") != pl.col("present_total"))
    | (pl.col("rank") != pl.col("present_rank"))
    | (pl.col("priority") != pl.col("present_priority"))
)


def _model_inputs(used: Sequence[str]) -> str:
    """What a model is shown of a range of accounts, and what is known of their scores: ``_SEEN``."""
    facts = ", ".join(
        "CAST(n.monthly_income * 100 AS bigint)" if name == "monthly_income" else f"n.{name}"
        for name in FACT_NAMES
    )
    return f"""
    SELECT CAST(n.account_id AS text), CAST(n.balance * 100 AS bigint), {facts}, n.external_ref, n.queued,
           COALESCE(o.scorecard_id = :card AND o.inputs_hash = n.inputs_hash, false),
           o.total, o.rank, o.priority
      FROM (SELECT a.id AS account_id, a.external_ref, {score_statements.QUEUED} AS queued,
                   {score_statements.inputs(used)}
              FROM {score_statements.ACCOUNTS_IN_RANGE} {score_statements.DEBTOR_OF_ACCOUNT}) n
           {score_statements.PRESENT_SCORE}
     ORDER BY n.account_id"""
