"""One agency's rows are all that a transaction can see or touch, even when a query forgets its filter."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.sql import SQL, Identifier, Placeholder

from db.models import EXEMPT_TABLES, TENANT_TABLES

OURS, THEIRS = uuid.uuid4(), uuid.uuid4()
APPEND_ONLY = {
    "account_score_history",
    "audit_record",
    "compliance_decision",
    "contact",
    "journal",
    "posting",
    "timeline_event",
}

# A value for each type, and the columns whose checks want a certain one.
BY_TYPE: dict[str, Any] = {
    "text": "x",
    "uuid": None,
    "integer": 1,
    "smallint": 1,
    "bigint": 1,
    "numeric": 1,
    "boolean": True,
    "bytea": b"x",
    "jsonb": "{}",
    "ARRAY": [],
    "timestamp with time zone": "now",
    "date": "today",
}
BY_COLUMN = {
    ("account_figure", "slice"): "status",
    ("account_score", "level"): "LOW",
    ("assignment_run", "origin"): "manual",
    ("contact", "channel"): "call",
    ("contact", "direction"): "outbound",
    ("promise", "status"): "open",
    ("dispute", "status"): "open",
    ("settlement_offer", "status"): "open",
    ("payment", "method"): "card",
    ("payment", "origin"): "request",
    ("payment_plan", "frequency"): "monthly",
    ("payment_reconciliation", "origin"): "manual",
    ("posting", "debit"): "a",
    ("reconciliation_break", "kind"): "balance",
    ("break_proposal", "resolution"): "explain",
    ("partner_reconciliation", "origin"): "manual",
    ("partner_sync", "origin"): "manual",
    ("statement", "channel"): "file",
    ("processor_item", "kind"): "charge",
    ("refund", "origin"): "request",
    ("import_bucket", "stage"): "debtors",
    ("import_error", "severity"): "error",
    ("import_job", "channel"): "sftp",
    ("scoring_run", "origin"): "manual",
}
REQUIRED = """
    SELECT column_name, data_type FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name = %s AND is_nullable = 'NO' AND column_default IS NULL
       AND is_identity = 'NO' AND is_generated = 'NEVER'
"""


async def _fill(owner: psycopg.AsyncConnection[Any], table: str, agency: uuid.UUID) -> None:
    columns = await (await owner.execute(REQUIRED, (table,))).fetchall()
    values = {
        name: BY_COLUMN.get((table, name), uuid.uuid4() if kind == "uuid" else BY_TYPE[kind])
        for name, kind in columns
    }
    values["agency_id"] = agency
    if table == "stripe_credentials":
        values["account_ref"] = str(agency)  # No two agencies share one.
    insert = SQL("INSERT INTO {} ({}) VALUES ({})").format(
        Identifier(table),
        SQL(", ").join(map(Identifier, values)),
        SQL(", ").join(Placeholder() * len(values)),
    )
    await owner.execute(insert, list(values.values()))


@pytest.fixture(scope="module")
async def filled(module_database: Any) -> str:
    """The application's URL of a database where every tenant table has one row of two agencies each."""
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as owner:
        # Foreign keys are not what is tested here.
        await owner.execute("SET session_replication_role = replica")
        for table in TENANT_TABLES:
            for agency in (OURS, THEIRS):
                await _fill(owner, table, agency)
    return str(module_database.app_url)


@pytest.fixture
async def application(filled: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection of the application's role; what it does is rolled back."""
    connection = await psycopg.AsyncConnection.connect(filled)
    yield connection
    await connection.rollback()
    await connection.close()


async def _act_for(connection: psycopg.AsyncConnection[Any], agency: str) -> None:
    await connection.execute("SELECT set_config('recoup.agency', %s, true)", (agency,))


async def _agencies(connection: psycopg.AsyncConnection[Any], table: str) -> list[uuid.UUID]:
    rows = await connection.execute(SQL("SELECT agency_id FROM {}").format(Identifier(table)))
    return [row[0] for row in await rows.fetchall()]


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_query_without_a_filter_sees_one_agency(application: Any, table: str) -> None:
    await _act_for(application, str(OURS))
    assert await _agencies(application, table) == [OURS]
    await _act_for(application, str(THEIRS))
    assert await _agencies(application, table) == [THEIRS]


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_without_an_agency_nothing_is_seen(application: Any, table: str) -> None:
    assert await _agencies(application, table) == []
    await _act_for(application, "")
    assert await _agencies(application, table) == []


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_changes_without_a_filter_reach_one_agency(application: Any, table: str) -> None:
    await _act_for(application, str(OURS))
    for statement in ("UPDATE {} SET agency_id = agency_id", "DELETE FROM {}"):
        query = SQL(statement).format(Identifier(table))
        if table in APPEND_ONLY:
            with pytest.raises(InsufficientPrivilege):
                async with application.transaction():
                    await application.execute(query)
        else:
            assert (await application.execute(query)).rowcount == 1


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_no_row_is_written_for_another_agency(application: Any, table: str) -> None:
    await _act_for(application, str(OURS))
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        await _fill(application, table, THEIRS)


async def test_no_row_is_moved_to_another_agency(application: Any) -> None:
    await _act_for(application, str(OURS))
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        await application.execute("UPDATE command SET agency_id = %s", (THEIRS,))


async def test_every_table_is_secured_or_exempt(module_database: Any) -> None:
    query = """
        SELECT c.relname, c.relrowsecurity,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'agency_id')
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    """
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as owner:
        rows = await (await owner.execute(query)).fetchall()
    secured = {name for name, row_security, _ in rows if row_security}
    assert secured == set(TENANT_TABLES)
    assert {name for name, _, _ in rows} - secured == {*EXEMPT_TABLES, "alembic_version"}
    assert {name for name, _, tenant in rows if tenant} - secured == {"app_user"}


async def test_partitions_are_reached_through_their_table_only(module_database: Any) -> None:
    query = """
        SELECT c.relname FROM pg_class c
         WHERE c.relispartition AND c.relkind = 'r'
           AND has_table_privilege('recoup_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
    """
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as owner:
        assert await (await owner.execute(query)).fetchall() == []


@pytest.mark.parametrize("table", sorted(APPEND_ONLY))
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET agency_id = agency_id",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "DROP TABLE {}",
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    ],
)
async def test_the_application_cannot_rewrite_history(application: Any, table: str, statement: str) -> None:
    await _act_for(application, str(OURS))
    with pytest.raises(InsufficientPrivilege):
        await application.execute(SQL(statement).format(Identifier(table)))


async def test_the_application_cannot_shake_off_its_role(application: Any) -> None:
    with pytest.raises(InsufficientPrivilege):
        await application.execute("SET ROLE recoup_owner")
    await application.rollback()
    await application.execute("SET row_security = off")
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        await application.execute("SELECT * FROM account")


@pytest.mark.parametrize("search", ["search_accounts(%s, '%%')", "search_debtors(%s, '%%', 'x', 100)"])
async def test_the_search_functions_serve_the_transaction_s_agency_only(
    application: Any, search: str
) -> None:
    await _act_for(application, str(OURS))
    found = await application.execute(f"SELECT count(*) FROM {search}", (OURS,))  # noqa: S608 (constants)
    assert (await found.fetchone())[0] >= 1
    with pytest.raises(InsufficientPrivilege, match="not the one of this transaction"):
        await application.execute(f"SELECT * FROM {search}", (THEIRS,))  # noqa: S608 (constants)
