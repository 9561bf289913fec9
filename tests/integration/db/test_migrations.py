"""Migrations: up and down on a database with data, and no difference from the models."""

import asyncio
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from db import migrate
from db.models import EXEMPT_TABLES, TENANT_TABLES, Base
from db.urls import sqlalchemy_url

APPEND_ONLY = {
    "journal": "kind",
    "posting": "currency",
    "timeline_event": "kind",
    "audit_record": "action",
    "scorecard": "name",
    "account_score_history": "level",
    "compliance_rule_set": "name",
    "compliance_decision": "answer",
    "contact": "note",
}
"""Tables that the application may only add to, and a column of each."""


async def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as link:
        cursor = await link.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def fill(url: str) -> None:
    """A row in most tables, partitions included."""
    await query(
        url,
        """
        WITH g AS (INSERT INTO agency (slug, name) VALUES ('a', 'A') RETURNING id),
             c AS (INSERT INTO creditor (agency_id, name) SELECT id, 'C' FROM g RETURNING *),
             d AS (INSERT INTO debtor (agency_id, natural_key, full_name) SELECT id, 'ref:1', 'Ana' FROM g
                   RETURNING *),
             a AS (INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount,
                                        balance)
                   SELECT g.id, c.id, d.id, 'A-1', 10, 10 FROM g, c, d RETURNING *),
             j AS (INSERT INTO journal (agency_id, kind, key, description, occurred_at)
                   SELECT id, 'placement', '1', 'P', now() FROM g RETURNING *),
             p AS (INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
                   SELECT g.id, j.id, a.id, 'receivable', 'placements', 10, 'USD' FROM g, j, a),
             t AS (INSERT INTO timeline_event (agency_id, account_id, kind, description, actor)
                   SELECT agency_id, id, 'note', 'N', 'x' FROM a)
        INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id)
        SELECT id, 'user', 'x', 'made', 'agency', '1' FROM g
        """,
    )


async def test_migrations_go_down_and_up_on_a_filled_database(database: Any) -> None:
    await fill(database.owner_url)
    await asyncio.to_thread(migrate.downgrade, database.owner_url, "base")
    left = await query(
        database.owner_url,
        "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'staging')"
        " UNION SELECT proname FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner"
        " WHERE r.rolname = 'recoup_owner' AND pronamespace = 'public'::regnamespace",
    )
    assert left == [("alembic_version",)]

    assert await asyncio.to_thread(migrate.upgrade, database.owner_url) == migrate.head()
    assert await asyncio.to_thread(migrate.upgrade, database.owner_url) == migrate.head()
    await fill(database.owner_url)
    assert await asyncio.to_thread(migrate.current, database.owner_url) == migrate.head()


async def test_the_schema_of_a_newer_release_stays_as_it_is(database: Any) -> None:
    """As the job of a version that was gone back to meets it."""
    await query(database.owner_url, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    assert await asyncio.to_thread(migrate.upgrade, database.owner_url) == "9999"


async def test_two_migrations_at_once_queue_up(database: Any) -> None:
    await asyncio.to_thread(migrate.downgrade, database.owner_url, "base")
    reached = await asyncio.gather(
        *(asyncio.to_thread(migrate.upgrade, database.owner_url) for _ in range(2))
    )
    assert reached == [migrate.head()] * 2


async def test_models_and_migrations_say_the_same(module_database: Any) -> None:
    def differences() -> list[Any]:
        engine = create_engine(sqlalchemy_url(module_database.owner_url))
        with engine.connect() as connection:
            partitions = {
                name
                for (name,) in connection.exec_driver_sql("SELECT inhrelid::regclass::text FROM pg_inherits")
            }
            known = MigrationContext.configure(
                connection,
                opts={
                    "compare_type": True,
                    "compare_server_default": True,
                    "include_object": lambda thing, name, kind, *_: (
                        not (
                            (kind == "table" and name in partitions)
                            or (kind == "index" and thing.table.name in partitions)
                        )
                    ),
                },
            )
            found: list[Any] = compare_metadata(known, Base.metadata)
        engine.dispose()
        return found

    assert await asyncio.to_thread(differences) == []


async def test_every_table_is_either_a_tenants_or_exempt(module_database: Any) -> None:
    tables = await query(
        module_database.owner_url,
        "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'",
    )
    assert {name for name, secured in tables if secured} == set(TENANT_TABLES)
    assert {name for name, secured in tables if not secured} == set(EXEMPT_TABLES)
    assert {table.name for table in Base.metadata.sorted_tables} == {*TENANT_TABLES, *EXEMPT_TABLES}


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
async def test_what_was_recorded_stays(module_database: Any, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await query(module_database.app_url, change.format(table, APPEND_ONLY[table]))


async def test_the_application_cannot_go_behind_a_policy(module_database: Any) -> None:
    partitions = await query(
        module_database.owner_url, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
    )
    assert len(partitions) > 30
    for (table,) in partitions:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await query(module_database.app_url, f"SELECT * FROM {table}")  # noqa: S608
    [(bypasses, superuser)] = await query(
        module_database.app_url,
        "SELECT rolbypassrls, rolsuper FROM pg_roles WHERE rolname = current_user",
    )
    assert (bypasses, superuser) == (False, False)
    for forbidden in ("ALTER TABLE account DISABLE ROW LEVEL SECURITY", "DROP POLICY tenant ON account"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await query(module_database.app_url, forbidden)
