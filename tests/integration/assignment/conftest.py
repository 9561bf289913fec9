"""An agency with scored accounts that nobody works, and collectors of several capacities."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.assignment import AssignedChunk, AssignmentActivities, AssignmentRef, AssignmentRequest
from benchmarks.placed import place
from db.cipher import ColumnCipher, parse_keys
from db.scorecard_files import builtin_scorecards
from db.session import Database
from domain.tenancy import Actor, Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS

ACCOUNTS = 60


@dataclass
class Office:
    """One agency, and what automatic assignment does there."""

    db: Database
    superuser_url: str
    agency_id: UUID
    told: list[UUID] = field(default_factory=list)

    @property
    def steps(self) -> AssignmentActivities:
        """The steps of a run, as a worker has them."""
        return AssignmentActivities(self.db, builtin_scorecards(), self.tell)

    async def tell(self, agency_id: UUID, account_ids: Sequence[UUID]) -> None:
        """Instead of telling them: keep which."""
        assert agency_id == self.agency_id
        self.told += account_ids

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.agency_id, Actor("system", "test"))

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def rows(self, columns: str, table: str, more: str = "") -> list[dict[str, Any]]:
        """This agency's rows of a table."""
        return await self.query(f"SELECT {columns} FROM {table} WHERE agency_id = %s {more}", self.agency_id)  # noqa: S608

    async def hire(self, maximum: int, name: str = "Cole Lector", *, active: bool = True) -> UUID:
        """Another collector."""
        [made] = await self.query(
            "WITH u AS (INSERT INTO app_user (agency_id, username, full_name, role, password_hash)"
            " VALUES (%s, %s, %s, 'collector', '!') RETURNING id)"
            " INSERT INTO collector (agency_id, user_id, full_name, max_accounts, active)"
            " SELECT %s, id, %s, %s, %s FROM u RETURNING id",
            self.agency_id,
            uuid4().hex,
            name,
            self.agency_id,
            name,
            maximum,
            active,
        )
        collector_id: UUID = made["id"]
        return collector_id

    async def score(self) -> None:
        """Score all accounts as they are now."""
        ids = [row["id"] for row in await self.rows("id", "account")]
        async with self.db.transaction(self.tenant) as tx:
            await tx.rescore(builtin_scorecards(), ids)

    async def change(self, account_ids: Sequence[UUID], values: str) -> None:
        """What commands do to rows: ``values`` are SQL assignments, and the scores follow."""
        statement = text(f"UPDATE account SET version = version + 1, {values} WHERE id = ANY(:ids)")  # noqa: S608
        async with self.db.transaction(self.tenant) as tx:
            await tx.session.execute(statement, {"ids": list(account_ids)})
            await tx.rescore(builtin_scorecards(), account_ids)

    async def best(self) -> list[UUID]:
        """The accounts that nobody works, best first."""
        rows = await self.rows(
            "account_id",
            "account_score",
            "AND queued AND collector_id IS NULL ORDER BY rank DESC, account_id",
        )
        return [row["account_id"] for row in rows]

    async def given(self) -> dict[UUID, UUID]:
        """Who has which account."""
        rows = await self.rows("id, assigned_to", "account", "AND assigned_to IS NOT NULL")
        return {row["id"]: row["assigned_to"] for row in rows}

    async def begin(self, run_id: UUID | None = None) -> AssignmentRef:
        request = AssignmentRequest(agency_id=self.agency_id, run_id=run_id or uuid4())
        return await ActivityEnvironment().run(self.steps.begin, request)

    async def chunk(self, ref: AssignmentRef) -> AssignedChunk:
        return await ActivityEnvironment().run(self.steps.assign_chunk, ref)

    async def assign(self) -> dict[str, Any]:
        """A whole run; its row afterwards."""
        ref = await self.begin()
        while (await self.chunk(ref)).more:
            pass
        await ActivityEnvironment().run(self.steps.finish, ref)
        [run] = await self.query("SELECT * FROM assignment_run WHERE id = %s", ref.run_id)
        return run


@pytest.fixture
def database(module_database: Any) -> Any:
    """The module's: each test has agencies of its own in it."""
    return module_database


@pytest.fixture
async def db(database: Any) -> AsyncIterator[Database]:
    made = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
async def offices(database: Any, db: Database) -> tuple[Office, Office]:
    """Two agencies with as many scored accounts and no collectors."""
    made = []
    for slug in ("ours", "theirs"):
        office = Office(db, database.superuser_url, uuid4())
        [agency] = await office.query(
            "INSERT INTO agency (slug, name) VALUES (%s, 'Agency') RETURNING id", f"{slug}-{uuid4()}"
        )
        office.agency_id = agency["id"]
        await office.query(
            "INSERT INTO creditor (agency_id, name, is_default) VALUES (%s, 'Creditor', true)",
            office.agency_id,
        )
        await place(office.query, office.agency_id, ACCOUNTS)
        await office.score()
        made.append(office)
    ours, theirs = made
    return ours, theirs


@pytest.fixture
def office(offices: tuple[Office, Office]) -> Office:
    return offices[0]
