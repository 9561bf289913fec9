"""Scoring runs: opened, taken turn by turn, planned in chunks, counted, ended."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NotRequired, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.keyset import Position, newest_first
from db.models import ScoringChunk, ScoringError, ScoringRun
from db.scores import Scored
from db.store import Store
from domain.errors import Conflict, NotFound, Unavailable

TOP = 10
"""How many of the best accounts a run keeps in its summary."""

IDLE_MINUTES = 10
"""After how long without progress a running run loses its turn to one that waits, and goes on later. As long
as a chunk is being scored there is progress."""


class NewRun(TypedDict):
    """A run to be opened. ``threshold`` is the one it judges by; ``batch_size`` is in accounts."""

    id: UUID
    origin: str
    requested_by: str
    scorecard_id: UUID
    threshold: Decimal
    batch_size: int
    import_id: NotRequired[UUID | None]


class RunGoing(Conflict):
    """Another scoring run of the agency is at work."""

    type = "scoring-run-going"
    title = "A scoring run is going"


class ScoringRunStore(Store):
    """The scoring runs of one agency."""

    async def open(self, **new: Unpack[NewRun]) -> ScoringRun:
        """Make a run, or find it: by its id, or the one that its import has already."""
        await self._session.execute(
            upsert(ScoringRun).values(agency_id=self._agency_id, **new).on_conflict_do_nothing()
        )
        found = ScoringRun.id == new["id"]
        if (import_id := new.get("import_id")) is not None:
            found |= ScoringRun.import_id == import_id
        return (await self._session.scalars(select(ScoringRun).where(found))).one()

    async def reserve(self, **new: Unpack[NewRun]) -> ScoringRun:
        """Make a run that has its turn at once. ``RunGoing`` while another one has it.

        Repeated, it finds the run that was made, even if that has ended by now.
        """
        run = await self.open(**new)
        if run.status in {"completed", "failed"}:
            return run
        if not await self.begin(run.id):
            going = await self._session.scalar(
                select(ScoringRun.id).where(
                    ScoringRun.agency_id == self._agency_id, ScoringRun.status == "running"
                )
            )
            other = "another scoring run" if going is None else f"the scoring run {going}"
            raise RunGoing(
                f"{other} of this agency is going; ask again when it has ended",
                run_id=None if going is None else str(going),
            )
        await self._session.refresh(run)
        return run

    async def get(self, run_id: UUID) -> ScoringRun:
        """One run. Raises ``NotFound``."""
        run: ScoringRun | None = await self._session.scalar(
            select(ScoringRun)
            .where(ScoringRun.agency_id == self._agency_id, ScoringRun.id == run_id)
            .execution_options(populate_existing=True)
        )
        if run is None:
            raise NotFound("there is no such scoring run")
        return run

    async def page(
        self, position: Position | None, limit: int, *, statuses: Sequence[str] = ()
    ) -> Sequence[ScoringRun]:
        """Runs of the agency, newest first, keyed by ``(created_at, id)``."""
        query = select(ScoringRun).where(ScoringRun.agency_id == self._agency_id)
        if statuses:
            query = query.where(ScoringRun.status.in_(statuses))
        columns = (ScoringRun.created_at, ScoringRun.id)
        return (await self._session.scalars(newest_first(query, columns, position, limit))).all()

    async def errors(self, run_id: UUID, position: Position | None, limit: int) -> Sequence[ScoringError]:
        """At most ``limit`` accounts that a run could not score, by account id, next to ``position``."""
        query = select(ScoringError).where(
            ScoringError.agency_id == self._agency_id, ScoringError.run_id == run_id
        )
        backward = position is not None and position.backward
        if position is not None:
            (key,) = position.key
            query = query.where(ScoringError.account_id < key if backward else ScoringError.account_id > key)
        order = ScoringError.account_id.desc() if backward else ScoringError.account_id.asc()
        return (await self._session.scalars(query.order_by(order).limit(limit))).all()

    async def of_import(self, import_id: UUID) -> ScoringRun | None:
        """The run that scores the accounts of an import, once there is one."""
        found: ScoringRun | None = await self._session.scalar(
            select(ScoringRun)
            .where(ScoringRun.import_id == import_id)
            .execution_options(populate_existing=True)
        )
        return found

    async def unscored_imports(self, limit: int) -> list[UUID]:
        """Imports of the last week whose accounts nobody is scoring, though they are long in."""
        found = await self._session.scalars(_UNSCORED, {"agency": self._agency_id, "limit": limit})
        return list(found)

    async def begin(self, run_id: UUID) -> bool:
        """Take the agency's turn; False while another run has it that still moves.

        ``RunEnded`` when this one is over, ``NotFound`` when it is gone: it would wait for ever.
        """
        values = {"agency": self._agency_id, "run": run_id}
        # One transaction at a time looks and takes, or two would both find the place free.
        await self._session.execute(_LOCK, {"agency": str(self._agency_id)})
        await self._session.execute(_EXPIRE, {**values, "idle": IDLE_MINUTES})
        if await self._session.scalar(_BEGIN, values) is not None:
            return True
        run = await self.get(run_id)
        if run.status != "pending":
            raise _ended(run)
        return False

    async def plan(self, run: ScoringRun) -> Sequence[int]:
        """The chunks that are still to be scored, planned when this is first asked.

        A run over all accounts takes those that there are now, ``batch_size`` at a time in the order of
        their ids; an import's takes the buckets in which its accounts were merged.
        """
        values = {"agency": self._agency_id, "run": run.id}
        if not run.chunks:
            if run.import_id is None:
                await self._session.execute(_PLAN_ALL, {**values, "batch": run.batch_size})
            else:
                await self._session.execute(_PLAN_IMPORT, {**values, "import": run.import_id})
            await self._session.execute(_PLANNED, values)
        return list(await self._session.scalars(_LEFT, values))

    async def take(self, run_id: UUID, chunk: int) -> tuple[ScoringRun, ScoringChunk]:
        """A run and one of its chunks, locked: whoever comes second finds it scored.

        ``RunEnded`` when the run has ended; ``Unavailable`` while another run has the turn that this one
        lost because nothing happened for too long.
        """
        run = await self.get(run_id)
        if run.status != "running" and not await self.begin(run_id):
            raise Unavailable("another scoring run of the agency has its turn; this one goes on after it")
        return run, (
            await self._session.scalars(
                select(ScoringChunk)
                .where(
                    ScoringChunk.agency_id == self._agency_id,
                    ScoringChunk.run_id == run_id,
                    ScoringChunk.chunk == chunk,
                )
                .with_for_update()
            )
        ).one()

    async def mark(self, run_id: UUID, chunk: int, done: Scored) -> None:
        """Mark a chunk as scored and move the run's progress, in the transaction that scored it."""
        values = {
            "agency": self._agency_id,
            "run": run_id,
            "chunk": chunk,
            "scored": done.scored,
            "changed": done.changed,
            "errors": done.errors,
            "high": done.high_priority,
            "levels": json.dumps(dict(done.levels or {})),
        }
        await self._session.execute(_MARK, values)
        await self._session.execute(_COUNT, values)

    async def add_errors(self, run_id: UUID, errors: Sequence[tuple[UUID, str]]) -> None:
        """Keep why accounts could not be scored."""
        if errors:
            rows: list[dict[str, Any]] = [
                {"agency_id": self._agency_id, "run_id": run_id, "account_id": account, "error": error}
                for account, error in errors
            ]
            await self._session.execute(upsert(ScoringError).on_conflict_do_nothing(), rows)

    async def finish(self, run_id: UUID) -> ScoringRun:
        """End the run with its sums and the accounts that are now the best; safe to repeat.

        ``RunEnded`` when it has failed.
        """
        await self._session.execute(_FINISH, {"agency": self._agency_id, "run": run_id, "top": TOP})
        run = await self.get(run_id)
        if run.status == "failed":
            raise _ended(run)
        return run

    async def fail(self, run_id: UUID, reason: str) -> None:
        """End a run that cannot go on, so that the next may have its turn."""
        await self._session.execute(
            update(ScoringRun)
            .where(
                ScoringRun.agency_id == self._agency_id,
                ScoringRun.id == run_id,
                ScoringRun.status.in_(("pending", "running")),
            )
            .values(
                status="failed",
                reason=reason,
                completed_at=text("clock_timestamp()"),
                updated_at=text("clock_timestamp()"),
            )
        )


class RunEnded(Conflict):
    """A scoring run that has failed or is done; what it has scored stands."""

    type = "scoring-run-ended"
    title = "The scoring run has ended"


def _ended(run: ScoringRun) -> RunEnded:
    return RunEnded(f"the scoring run has ended ({run.reason or run.status})")


_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('scoring/' || :agency, 0))")

_EXPIRE = text("""
    UPDATE scoring_run SET status = 'pending', updated_at = clock_timestamp()
     WHERE agency_id = :agency AND status = 'running' AND id <> :run
       AND updated_at < now() - make_interval(mins => :idle)
       AND (SELECT count(*) FROM scoring_chunk c
             WHERE c.agency_id = :agency AND c.run_id = scoring_run.id AND c.scored_at IS NULL)
         = (SELECT count(*) FROM (
                SELECT FROM scoring_chunk c
                 WHERE c.agency_id = :agency AND c.run_id = scoring_run.id AND c.scored_at IS NULL
                   FOR UPDATE SKIP LOCKED) idle)
""")
"""A chunk that is being scored is locked: its run is slow, perhaps by its model, but not left behind."""

_BEGIN = text("""
    UPDATE scoring_run r
       SET status = 'running', started_at = COALESCE(r.started_at, clock_timestamp()),
           updated_at = clock_timestamp()
     WHERE r.agency_id = :agency AND r.id = :run AND r.status IN ('pending', 'running')
       AND NOT EXISTS (SELECT FROM scoring_run o
                        WHERE o.agency_id = :agency AND o.status = 'running' AND o.id <> r.id)
    RETURNING r.id
""")

_PLAN_ALL = text("""
    INSERT INTO scoring_chunk (agency_id, run_id, chunk, first_id, last_id)
    SELECT :agency, :run, place / :batch, first_id,
           COALESCE(lead(id_before) OVER (ORDER BY first_id), (
               SELECT id FROM account WHERE agency_id = :agency ORDER BY id DESC LIMIT 1))
      FROM (SELECT id AS first_id, lag(id) OVER (ORDER BY id) AS id_before,
                   row_number() OVER (ORDER BY id) - 1 AS place
              FROM account WHERE agency_id = :agency) numbered
     WHERE place % :batch = 0
""")

_PLAN_IMPORT = text("""
    INSERT INTO scoring_chunk (agency_id, run_id, chunk)
    SELECT DISTINCT CAST(:agency AS uuid), CAST(:run AS uuid), bucket FROM import_bucket
     WHERE agency_id = :agency AND import_id = :import AND account_ids IS NOT NULL
""")

_PLANNED = text("""
    UPDATE scoring_run r
       SET chunks = (SELECT count(*) FROM scoring_chunk WHERE agency_id = :agency AND run_id = :run),
           total = CASE WHEN r.import_id IS NULL
               THEN (SELECT count(*) FROM account WHERE agency_id = :agency)
               ELSE (SELECT COALESCE(sum(accounts), 0) FROM (
                       SELECT count(DISTINCT account_id) AS accounts
                         FROM import_bucket CROSS JOIN unnest(account_ids) account_id
                        WHERE agency_id = :agency AND import_id = r.import_id GROUP BY bucket) x) END,
           updated_at = clock_timestamp()
     WHERE r.agency_id = :agency AND r.id = :run
""")

_LEFT = text("""
    SELECT chunk FROM scoring_chunk
     WHERE agency_id = :agency AND run_id = :run AND scored_at IS NULL ORDER BY chunk
""")

_MARK = text("""
    UPDATE scoring_chunk
       SET scored = :scored, changed = :changed, errors = :errors, high_priority = :high,
           levels = CAST(:levels AS jsonb), scored_at = clock_timestamp()
     WHERE agency_id = :agency AND run_id = :run AND chunk = :chunk
""")

_COUNT = text("""
    UPDATE scoring_run
       SET scored = scored + :scored, changed = changed + :changed, errors = errors + :errors,
           high_priority = high_priority + :high, chunks_done = chunks_done + 1,
           updated_at = clock_timestamp()
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
       SET status = 'completed', completed_at = clock_timestamp(), updated_at = clock_timestamp(),
           levels = COALESCE((
               SELECT jsonb_object_agg(level, accounts) FROM (
                   SELECT l.key AS level, sum(l.value::bigint) AS accounts
                     FROM scoring_chunk c CROSS JOIN LATERAL jsonb_each_text(c.levels) l
                    WHERE c.agency_id = :agency AND c.run_id = :run GROUP BY l.key) x), '{}'),
           top = COALESCE((
               SELECT jsonb_agg(jsonb_build_object('account_id', account_id, 'external_ref', external_ref,
                                                   'rank', rank, 'total', total, 'level', level)
                                ORDER BY rank DESC, account_id)
                 FROM (SELECT account_id, rank, total, level FROM account_score
                        WHERE agency_id = :agency AND queued
                        ORDER BY rank DESC, account_id LIMIT :top) best
                CROSS JOIN LATERAL (
                    SELECT external_ref FROM account WHERE agency_id = :agency AND id = account_id) a), '[]')
     WHERE r.agency_id = :agency AND r.id = :run AND r.status = 'running'
""")
