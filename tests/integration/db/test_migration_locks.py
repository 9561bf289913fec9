"""A migration that meets a lock: others are served, whoever holds it is named, the schema stays whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from db import migrate
from db.migration_locks import Patience, met_a_lock
from domain.errors import Unavailable
from sandbox.processes import until
from tests.integration.db.test_migrations import query

HASTY = Patience(lock_timeout_ms=500, tries=3, longest_pause_s=0.05)
LASTING = Patience(lock_timeout_ms=100, tries=1000, longest_pause_s=0.05)

Go = Callable[[Patience], object]


@asynccontextmanager
async def holding(database: Any, lock: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    link = await psycopg.AsyncConnection.connect(database.app_url, application_name="long-report")
    async with link:
        await link.execute(lock.encode())
        yield link


@pytest.fixture(params=["down", "up"])
async def way(request: pytest.FixtureRequest, database: Any) -> Go:
    """One of both ways, which has to change ``account``."""
    if request.param == "down":
        # The revisions behind 0012 that this one undoes first do not change it.
        await asyncio.to_thread(migrate.downgrade, database.owner_url, "0014")
        return lambda patience: migrate.downgrade(database.owner_url, "0003", patience=patience)
    await asyncio.to_thread(migrate.downgrade, database.owner_url, "0003")
    return lambda patience: migrate.upgrade(database.owner_url, patience=patience)


async def test_it_gives_up_in_the_end_names_the_holder_and_can_be_run_again(database: Any, way: Go) -> None:
    before = await asyncio.to_thread(migrate.current, database.owner_url)
    async with holding(database, "SELECT FROM account") as report:
        with capture_logs() as said, pytest.raises(Unavailable) as given_up:
            await asyncio.to_thread(way, HASTY)
        pid = report.info.backend_pid
    between = await asyncio.to_thread(migrate.current, database.owner_url)
    holder = f"process {pid} (long-report as recoup_app"
    assert [line["event"] for line in said] == ["migration waits for a lock"] * 2
    assert all(holder in line["held_by"] and "account" in line["held_by"] for line in said)
    assert holder in given_up.value.message
    assert f"at revision {between}" in given_up.value.message
    # What came before the revision that met the lock is there, and nothing of that one.
    assert between == ("0012" if before == "0014" else "0003")
    assert await tables(database) == await tables_at(database, str(between))

    await asyncio.to_thread(way, HASTY)
    assert await asyncio.to_thread(migrate.current, database.owner_url) not in (before, between)


async def test_others_are_served_while_it_waits_and_it_goes_on_once_the_lock_is_gone(
    database: Any, way: Go
) -> None:
    """The worker would wait behind the migration, which waits for the report, if that did not give way."""
    before = await asyncio.to_thread(migrate.current, database.owner_url)
    with capture_logs() as said:

        async def waited() -> bool:
            return len(said) > 1

        async with (
            holding(database, "SELECT FROM account"),
            await psycopg.AsyncConnection.connect(database.app_url, autocommit=True) as worker,
        ):
            going = asyncio.create_task(asyncio.to_thread(way, LASTING))
            await until(waited, within_s=60, what="the migration to have waited twice")
            for _ in range(10):
                await worker.execute("SELECT FROM account LIMIT 1")
                await worker.execute("UPDATE account SET status = status")
            assert not going.done()
        await going
    assert await asyncio.to_thread(migrate.current, database.owner_url) != before


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.AdminShutdown(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_tried_again(fault: Exception, again: bool) -> None:
    assert met_a_lock(OperationalError("ALTER TABLE", {}, fault)) is again


async def test_an_index_that_keeps_nobody_waiting_waits_as_long_as_it_takes(database: Any) -> None:
    """Broken off it would begin anew, and never be done where some transaction is always longer."""
    await asyncio.to_thread(migrate.downgrade, database.owner_url, "0011")
    with capture_logs() as said:
        async with holding(database, "UPDATE account SET status = status"):
            once = Patience(lock_timeout_ms=100, tries=1)
            going = asyncio.create_task(
                asyncio.to_thread(lambda: migrate.upgrade(database.owner_url, "0012", patience=once))
            )

            async def has_waited_for_long() -> bool:
                return bool(said) or going.done()

            await until(has_waited_for_long, within_s=60, what="the index to wait for the report")
            assert not going.done()
        assert await going == "0012"
    assert {line["event"] for line in said} == {"migration still waits for a lock"}
    assert "long-report as recoup_app" in said[0]["held_by"]


async def tables(database: Any) -> list[tuple[Any, ...]]:
    return await query(
        database.owner_url,
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name !~ '_\\d{4}_\\d\\d$' ORDER BY 1, 2",
    )


async def tables_at(database: Any, revision: str) -> list[tuple[Any, ...]]:
    await asyncio.to_thread(migrate.downgrade, database.owner_url, revision)
    return await tables(database)
