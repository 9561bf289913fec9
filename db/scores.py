"""Scores: written set-based by a run, or one at a time when an account is made or changes."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from db.models import AccountScore, ScoringRun
from db.models import Scorecard as ScorecardRow
from db.scorecard_sql import score_sql
from db.store import Store
from domain.accounts import WORKABLE_STATUSES
from domain.errors import NotFound
from domain.scoring import Scorecard


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """What a chunk came to: accounts scored, how many above the threshold, accounts by level."""

    scored: int
    high_priority: int
    levels: dict[str, int]


class ScoreStore(Store):
    """Scoring runs and current scores of one agency."""

    async def open_run(self, *, import_id: UUID, scorecard_id: UUID) -> ScoringRun:
        """The run that scores the accounts an import touched; made once, then found again."""
        await self._session.execute(
            _OPEN, {"agency": self._agency_id, "import": import_id, "card": scorecard_id}
        )
        return (
            await self._session.scalars(select(ScoringRun).where(ScoringRun.import_id == import_id))
        ).one()

    async def get_run(self, run_id: UUID) -> ScoringRun:
        """One run. Raises ``NotFound``."""
        run = await self._session.get(ScoringRun, run_id)
        if run is None:
            raise NotFound("there is no such scoring run")
        return run

    async def scorecard_of(self, run_id: UUID) -> Scorecard:
        """The scorecard that a run uses, as it was stored."""
        definition = await self._session.scalar(
            select(ScorecardRow.definition)
            .join(ScoringRun, ScoringRun.scorecard_id == ScorecardRow.id)
            .where(ScoringRun.id == run_id)
        )
        return Scorecard.model_validate(definition)

    async def begin_run(self, run_id: UUID) -> bool:
        """Take the agency's turn; False while another run has it that still moves."""
        await self._session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('scoring/' || :agency, 0))"),
            {"agency": str(self._agency_id)},
        )
        values = {"agency": self._agency_id, "run": run_id}
        await self._session.execute(_EXPIRE, values)
        return await self._session.scalar(_BEGIN, values) is not None

    async def unscored_imports(self, limit: int) -> list[UUID]:
        """Imports of the last week whose accounts nobody is scoring, though they are long in."""
        found = await self._session.scalars(_UNSCORED, {"agency": self._agency_id, "limit": limit})
        return list(found)

    async def chunks(self, run_id: UUID) -> list[int]:
        """Chunks of a run that are still to be scored; one for each merged bucket of its import."""
        found = await self._session.scalars(_CHUNKS, {"agency": self._agency_id, "run": run_id})
        return list(found)

    async def score_chunk(
        self, run_id: UUID, chunk: int, card: Scorecard, *, threshold: Decimal
    ) -> ScoredChunk:
        """Score the accounts of a chunk as they are now, and mark the chunk; once, then as it was."""
        values: dict[str, Any] = {"agency": self._agency_id, "run": run_id, "chunk": chunk}
        row = (await self._session.execute(_FIND_CHUNK, values)).one_or_none()
        if row is not None:
            return ScoredChunk(row.scored, row.high_priority, row.levels)
        score = score_sql(card, threshold=threshold).replace(":", r"\:")
        rows = (
            await self._session.execute(
                text(_SCORE.format(score=score)), {**values, "workable": sorted(WORKABLE_STATUSES)}
            )
        ).all()
        levels = {row.level: int(row.accounts) for row in rows}
        done = ScoredChunk(sum(levels.values()), sum(int(row.high_priority) for row in rows), levels)
        await self._session.execute(
            _MARK,
            {**values, "scored": done.scored, "high": done.high_priority, "levels": json.dumps(levels)},
        )
        await self._session.execute(_COUNT, {"agency": self._agency_id, "run": run_id, "scored": done.scored})
        return done

    async def score_account(
        self, account_id: UUID, card: Scorecard, scorecard_id: UUID, *, threshold: Decimal
    ) -> None:
        """Score one account as it is in this transaction."""
        score = score_sql(card, threshold=threshold).replace(":", r"\:")
        await self._session.execute(
            text(_SCORE_ONE.format(score=score)),
            {
                "agency": self._agency_id,
                "account": account_id,
                "card": scorecard_id,
                "workable": sorted(WORKABLE_STATUSES),
            },
        )

    async def run_of_import(self, import_id: UUID) -> ScoringRun | None:
        """The run that scores the accounts of an import, once there is one."""
        found: ScoringRun | None = await self._session.scalar(
            select(ScoringRun)
            .where(ScoringRun.import_id == import_id)
            .execution_options(populate_existing=True)
        )
        return found

    async def levels(self) -> dict[str, int]:
        """How many accounts there are of each risk level now."""
        rows = await self._session.execute(
            select(AccountScore.level, func.count())
            .where(AccountScore.agency_id == self._agency_id)
            .group_by(AccountScore.level)
        )
        return dict(rows.tuples().all())

    async def finish_run(self, run_id: UUID) -> ScoringRun:
        """Sum the chunks up and end the run; safe to repeat."""
        await self._session.execute(_FINISH, {"agency": self._agency_id, "run": run_id})
        run = await self.get_run(run_id)
        await self._session.refresh(run)
        return run

    async def fail_run(self, run_id: UUID, reason: str) -> None:
        """End a run that cannot go on, so that the next may have its turn."""
        await self._session.execute(_FAIL, {"agency": self._agency_id, "run": run_id, "reason": reason})


_OPEN = text("""
    INSERT INTO scoring_run (agency_id, import_id, scorecard_id, total)
    SELECT :agency, :import, :card, COALESCE(sum(cardinality(account_ids)), 0) FROM import_bucket
     WHERE agency_id = :agency AND import_id = :import
    ON CONFLICT (import_id) WHERE import_id IS NOT NULL DO NOTHING
""")

_EXPIRE = text("""
    UPDATE scoring_run
       SET status = 'failed', reason = 'left behind: nothing happened for too long',
           completed_at = clock_timestamp()
     WHERE agency_id = :agency AND status = 'running' AND id <> :run
       AND updated_at < now() - interval '10 minutes'
""")

_BEGIN = text("""
    UPDATE scoring_run r
       SET status = 'running', started_at = COALESCE(r.started_at, clock_timestamp()),
           updated_at = clock_timestamp()
     WHERE r.agency_id = :agency AND r.id = :run AND r.status IN ('pending', 'running')
       AND NOT EXISTS (SELECT FROM scoring_run o
                        WHERE o.agency_id = :agency AND o.status = 'running' AND o.id <> r.id)
    RETURNING r.id
""")

_CHUNKS = text("""
    SELECT DISTINCT b.bucket FROM scoring_run r
      JOIN import_bucket b ON b.agency_id = :agency AND b.import_id = r.import_id
     WHERE r.agency_id = :agency AND r.id = :run AND b.account_ids IS NOT NULL
       AND NOT EXISTS (SELECT FROM scoring_chunk c
                        WHERE c.agency_id = :agency AND c.run_id = r.id AND c.chunk = b.bucket)
     ORDER BY b.bucket
""")

_UPSERT = """
    INSERT INTO account_score (account_id, agency_id, collector_id, queued, rank, total, level, priority,
                               high_priority, points, scorecard_id, scored_at)
    SELECT a.id, a.agency_id, a.assigned_to, a.status = ANY(:workable) AND a.balance > 0, s.rank, s.total,
           s.level, s.priority, s.high_priority, s.points, {card}, now()
      FROM {accounts}
      JOIN debtor d ON d.agency_id = :agency AND d.id = a.debtor_id
      CROSS JOIN LATERAL {{score}} s
     ORDER BY a.id
    ON CONFLICT (account_id) DO UPDATE
       SET collector_id = excluded.collector_id, queued = excluded.queued, rank = excluded.rank,
           total = excluded.total, level = excluded.level, priority = excluded.priority,
           high_priority = excluded.high_priority, points = excluded.points,
           scorecard_id = excluded.scorecard_id, scored_at = excluded.scored_at
"""

_SCORE = (
    "WITH written AS ("
    + _UPSERT.format(
        card="r.scorecard_id",
        accounts="""scoring_run r
      JOIN import_bucket b ON b.agency_id = :agency AND b.import_id = r.import_id
                          AND b.bucket = :chunk
      CROSS JOIN LATERAL unnest(b.account_ids) AS named(account_id)
      JOIN account a ON r.agency_id = :agency AND r.id = :run
                    AND a.agency_id = :agency AND a.id = named.account_id""",
    )
    + """RETURNING level, high_priority)
    SELECT level, count(*) AS accounts, count(*) FILTER (WHERE high_priority) AS high_priority
      FROM written GROUP BY level"""
)

_SCORE_ONE = _UPSERT.format(
    card=":card",
    accounts="(SELECT * FROM account WHERE agency_id = :agency AND id = :account) a",
)

_FIND_CHUNK = text("""
    SELECT scored, high_priority, levels FROM scoring_chunk
     WHERE agency_id = :agency AND run_id = :run AND chunk = :chunk
""")
_MARK = text("""
    INSERT INTO scoring_chunk (agency_id, run_id, chunk, scored, high_priority, levels)
    VALUES (:agency, :run, :chunk, :scored, :high, CAST(:levels AS jsonb))
""")
_COUNT = text("""
    UPDATE scoring_run SET scored = scored + :scored, updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run
""")
_UNSCORED = text("""
    SELECT j.id FROM import_job j
      LEFT JOIN scoring_run r ON r.agency_id = :agency AND r.import_id = j.id
     WHERE j.agency_id = :agency AND j.status = 'completed'
       AND j.completed_at BETWEEN now() - interval '7 days' AND now() - interval '5 minutes'
       AND (r.id IS NULL
            OR (r.status IN ('pending', 'running') AND r.updated_at < now() - interval '10 minutes'))
     ORDER BY j.id LIMIT :limit
""")

_FINISH = text("""
    UPDATE scoring_run r
       SET status = 'completed', completed_at = clock_timestamp(), scored = c.scored,
           high_priority = c.high_priority, levels = c.levels
      FROM (SELECT COALESCE(sum(scored), 0) AS scored, COALESCE(sum(high_priority), 0) AS high_priority,
                   COALESCE((SELECT jsonb_object_agg(level, accounts) FROM (
                       SELECT l.key AS level, sum(l.value::bigint) AS accounts
                         FROM scoring_chunk i CROSS JOIN LATERAL jsonb_each_text(i.levels) l
                        WHERE i.agency_id = :agency AND i.run_id = :run GROUP BY l.key) x), '{}') AS levels
              FROM scoring_chunk WHERE agency_id = :agency AND run_id = :run) c
     WHERE r.agency_id = :agency AND r.id = :run AND r.status = 'running'
""")
_FAIL = text("""
    UPDATE scoring_run SET status = 'failed', reason = :reason, completed_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :run AND status IN ('pending', 'running')
""")
