"""Partitions by month: made ahead by the application's role, which can take none away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.errors import Unavailable
from domain.tenancy import Actor
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.integration.db.test_migrations import fill, query

PARENTS = ("account_score_history", "audit_record", "timeline_event")
ACTOR = Actor("system", "test")
BOUNDS = "FOR VALUES FROM ('{:%Y-%m-%d} 00:00:00+00') TO ('{:%Y-%m-%d} 00:00:00+00')"
SHAPE = """
    SELECT regexp_replace(conname, '_\\d{{4}}_\\d\\d', '') || ' ' || pg_get_constraintdef(oid), convalidated
      FROM pg_constraint WHERE conrelid = '{0}'::regclass
    UNION ALL
    SELECT regexp_replace(pg_get_indexdef(indexrelid), '_\\d{{4}}_\\d\\d', '', 'g'), indisvalid
      FROM pg_index WHERE indrelid = '{0}'::regclass
    UNION ALL
    SELECT concat_ws(
               ' ', attname, format_type(atttypid, atttypmod), attidentity, pg_get_expr(adbin, adrelid)),
           attnotnull
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid = '{0}'::regclass AND attnum > 0
    UNION ALL
    SELECT relacl::text, relrowsecurity FROM pg_class WHERE oid = '{0}'::regclass
    ORDER BY 1, 2
"""
"""Constraints, indexes, columns and rights of a partition, without its month."""


@pytest.fixture
async def application(database: Any) -> AsyncIterator[Database]:
    opened = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield opened
    await opened.close()


async def add(application: Database, months: int) -> list[str]:
    async with application.platform() as tx:
        return list(await tx.partitions.add(months, ACTOR))


async def partitions(url: str, parent: str) -> list[tuple[str, str]]:
    statement = """
        SELECT relname, pg_get_expr(relpartbound, c.oid)
          FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
         WHERE inhparent = '{}'::regclass ORDER BY relname
    """
    return await query(url, statement.format(parent))


def month(n: int) -> datetime:
    """The first moment of the ``n``-th month after this one."""
    now = datetime.now(UTC)
    year, index = divmod(now.year * 12 + now.month - 1 + n, 12)
    return datetime(year, index + 1, 1, tzinfo=UTC)


async def test_what_is_missing_is_made_and_told_once(database: Any, application: Database) -> None:
    made = await add(application, 20)
    assert made == [f"{parent}_{month(n):%Y_%m}" for parent in PARENTS for n in (19, 20)]
    assert await add(application, 20) == []
    async with application.platform() as tx:
        assert await tx.months_ahead() == 20
    told = await query(
        database.owner_url, "SELECT actor, action, agency_id, new -> 'partitions' FROM audit_record"
    )
    assert told == [("test", "partitions.made", None, made)]


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
async def test_months_are_those_of_utc_wherever_the_database_is(database: Any, zone: str) -> None:
    await query(database.superuser_url, f"ALTER ROLE ALL IN DATABASE {database.name} SET timezone = '{zone}'")
    await query(database.app_url, "SELECT add_month_partitions(40)")
    await query(database.superuser_url, f"ALTER ROLE ALL IN DATABASE {database.name} RESET timezone")
    for parent in PARENTS:
        found = await partitions(database.owner_url, parent)
        assert found == [
            (f"{parent}_{month(n):%Y_%m}", BOUNDS.format(month(n), month(n + 1))) for n in range(-1, 41)
        ]


async def test_a_partition_made_ahead_is_as_those_of_the_migrations(
    database: Any, application: Database
) -> None:
    await add(application, 19)

    async def shape(part: str) -> list[tuple[Any, ...]]:
        return await query(database.owner_url, SHAPE.format(part))

    for parent in PARENTS:
        made, migrated = (f"{parent}_{month(n):%Y_%m}" for n in (19, 18))
        assert await shape(made) == await shape(migrated)


async def test_nobody_who_reads_or_writes_waits_for_a_month_to_be_added(
    database: Any, application: Database
) -> None:
    """Both hold what they hold until the other is done: neither would end if one waited."""
    await fill(database.owner_url)
    async with await psycopg.AsyncConnection.connect(database.owner_url) as worker:
        await worker.execute("SET lock_timeout = '5s'")
        await worker.execute("SELECT count(*) FROM timeline_event, audit_record, account_score_history")
        write = "UPDATE timeline_event SET description = 'N'; UPDATE audit_record SET action = 'made'"
        await worker.execute(write.encode())
        async with application.platform() as tx:
            assert len(await tx.partitions.add(19, ACTOR)) == len(PARENTS)
            await worker.execute(write.encode())
            await worker.execute("SELECT count(*) FROM timeline_event, audit_record, account_score_history")


async def test_it_gives_up_behind_another_change_of_the_tables(database: Any, application: Database) -> None:
    """The step is tried again; meanwhile nobody queues up behind it."""
    async with await psycopg.AsyncConnection.connect(database.owner_url) as migration:
        await migration.execute("ALTER FUNCTION add_month_partitions SET lock_timeout = '50ms'")
        await migration.commit()
        await migration.execute("LOCK TABLE timeline_event IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(Unavailable):
            await add(application, 19)
    assert len(await add(application, 19)) == len(PARENTS)


@pytest.mark.parametrize("months", ["-1", "121", "NULL"])
async def test_absurd_months_are_refused(database: Any, months: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not between 0 and 120"):
        await query(database.app_url, f"SELECT add_month_partitions({months})")


async def test_the_application_can_take_no_month_away(module_database: Any) -> None:
    part = f"timeline_event_{month(0):%Y_%m}"
    for statement in (
        f"DROP TABLE {part}",
        f"TRUNCATE {part}",
        f"DELETE FROM {part}",  # noqa: S608
        f"ALTER TABLE timeline_event DETACH PARTITION {part}",
        "DROP TABLE timeline_event",
        "DROP TABLE audit_record",
        "DROP FUNCTION add_month_partitions(INTEGER)",
        "ALTER FUNCTION add_month_partitions(INTEGER) RESET ALL",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await query(module_database.app_url, statement)
