"""Agencies with accounts that nobody has scored yet, and the scoring of them without Temporal."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from activities.scoring import ScoringActivities
from benchmarks.placed import place
from db.cipher import ColumnCipher, parse_keys
from db.models import ScoringRun
from db.scorecard_files import builtin_scorecards
from db.scores import Scored
from db.session import Database
from domain.tenancy import Actor, Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from sandbox.processes import until

_AGENCY = "INSERT INTO agency (slug, name) VALUES (%s, 'Agency') RETURNING id"
_CREDITOR = "INSERT INTO creditor (agency_id, name, is_default) VALUES (%s, 'Creditor', true)"


@dataclass
class Books:
    """One agency's accounts and scores."""

    db: Database
    superuser_url: str
    agency_id: UUID

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.agency_id, Actor("system", "test"))

    @property
    def steps(self) -> ScoringActivities:
        """The steps of a run, as a worker has them."""
        return ScoringActivities(self.db, builtin_scorecards())

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def mine(self, columns: str, table: str, order: str = "1") -> list[dict[str, Any]]:
        """This agency's rows of a table."""
        return await self.query(
            f"SELECT {columns} FROM {table} WHERE agency_id = %s ORDER BY {order}",  # noqa: S608
            self.agency_id,
        )

    async def open_run(self, *, batch_size: int = 100, threshold: Decimal = Decimal(500_000)) -> ScoringRun:
        """A run over all accounts that has its turn."""
        card = builtin_scorecards()["recovery-v1"]
        async with self.db.transaction(self.tenant) as tx:
            return await tx.scoring_runs.reserve(
                id=uuid4(),
                origin="manual",
                requested_by="test",
                scorecard_id=await tx.scorecards.keep(card),
                threshold=threshold,
                batch_size=batch_size,
            )

    async def plan(self, run: ScoringRun) -> list[int]:
        """The chunks of a run that are not scored yet."""
        async with self.db.transaction(self.tenant) as tx:
            return list(await tx.scoring_runs.plan(await tx.scoring_runs.get(run.id)))

    async def score(self, run: ScoringRun, chunk: int) -> Scored:
        """Score one chunk, as the activity does."""
        async with self.db.transaction(self.tenant) as tx:
            taken, part = await tx.scoring_runs.take(run.id, chunk)
            card = await tx.scorecards.get(taken.scorecard_id)
            done = await tx.scores.score_chunk(taken, part, card)
            await tx.scoring_runs.mark(run.id, chunk, done)
            return done

    async def score_all(self, **options: Any) -> ScoringRun:
        """A whole run."""
        run = await self.open_run(**options)
        for chunk in await self.plan(run):
            await self.score(run, chunk)
        async with self.db.transaction(self.tenant) as tx:
            return await tx.scoring_runs.finish(run.id)

    async def until_somebody_waits_for(self, pid: int) -> None:
        """Wait until another session waits for a lock that the one of this server process holds."""

        async def waits() -> bool:
            found = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            return bool(await self.query(found, pid))

        await until(waits, within_s=60, what="a session to be blocked")

    async def account(self, ref: str) -> UUID:
        """The account that was placed under a reference."""
        [row] = await self.query(
            "SELECT id FROM account WHERE agency_id = %s AND external_ref = %s", self.agency_id, ref
        )
        found: UUID = row["id"]
        return found


@pytest.fixture(scope="module")
async def placed(module_database: Any) -> tuple[UUID, ...]:
    """Agencies of the module's database, which tests have copies of, with accounts; nobody is connected."""
    made = []
    async with await psycopg.AsyncConnection.connect(
        module_database.superuser_url, row_factory=dict_row
    ) as link:

        async def query(statement: str, *values: Any) -> list[dict[str, Any]]:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

        for slug in ("ours", "theirs"):
            [agency] = await query(_AGENCY, slug)
            await query(_CREDITOR, agency["id"])
            await place(query, agency["id"], 1050)
            made.append(agency["id"])
    return tuple(made)


@pytest.fixture
async def database(placed: Any, module_database: Any, copied: Any) -> AsyncIterator[Any]:
    """A copy for one test of the module's database, its accounts placed."""
    async with copied(module_database.name) as made:
        yield made


@pytest.fixture
async def db(database: Any) -> AsyncIterator[Database]:
    made = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
def agencies(placed: tuple[UUID, ...], database: Any, db: Database) -> tuple[Books, Books]:
    """Two agencies with the same 1,050 accounts, numbered from 1, each of its own debtor."""
    ours, theirs = (Books(db, database.superuser_url, agency_id) for agency_id in placed)
    return ours, theirs


@pytest.fixture
def books(agencies: tuple[Books, Books]) -> Books:
    return agencies[0]
