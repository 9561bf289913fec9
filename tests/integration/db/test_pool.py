"""Connections that the server closed meanwhile are replaced, unnoticed by whoever asks next."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from db import pool
from db.cipher import ColumnCipher
from db.session import Database
from domain.errors import DomainError
from domain.tenancy import Tenant

TENANT = Tenant.system(UUID(int=1), "test")
KILL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pool-test'"
WHO = b"SELECT pg_backend_pid(), current_setting('recoup.agency', true)"


@pytest.fixture
async def made(module_database: Any) -> AsyncIterator[Database]:
    opened = Database(
        module_database.app_url, ColumnCipher({"test": b"k" * 32}), application_name="pool-test", pool_size=3
    )
    yield opened
    await opened.close()


async def kill(module_database: Any) -> int:
    """End every connection of the pool at the server; how many there were."""
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as connection:
        return len(await (await connection.execute(KILL)).fetchall())


async def test_a_closed_connection_is_replaced_for_transactions_and_readings(
    made: Database, module_database: Any
) -> None:
    for _ in range(2):
        async with made.transaction(TENANT) as tx, made.transaction(TENANT) as other:
            for one in (tx, other):
                assert await one.session.scalar(text("SELECT 1")) == 1
        assert await kill(module_database) >= 1
        assert await made.readings(TENANT).rows(b"SELECT 1", {}) == [(1,)]


async def test_a_connection_that_was_idle_for_long_is_asked_first(
    made: Database, module_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [[first, _]] = await made.readings(TENANT).rows(WHO, {})
    monkeypatch.setattr(pool, "QUIET_S", -1.0)
    # Even a connection with nothing to read, which a lost network leaves, must be asked.
    monkeypatch.setattr(pool, "_has_news", lambda connection: False)
    [[again, _]] = await made.readings(TENANT).rows(WHO, {})
    await kill(module_database)
    [[other, _]] = await made.readings(TENANT).rows(WHO, {})

    assert first == again != other


async def test_a_reading_sees_its_tenant_only_and_leaves_nothing_behind(made: Database) -> None:
    other = Tenant.system(UUID(int=2), "test")
    [[pid, agency]] = await made.readings(TENANT).rows(WHO, {})
    [[same_pid, others]] = await made.readings(other).rows(WHO, {})

    assert (agency, others) == (str(TENANT.agency_id), str(other.agency_id))
    assert same_pid == pid


async def test_a_reading_that_fails_gives_up_its_connection_and_the_next_one_works(made: Database) -> None:
    [[pid, _]] = await made.readings(TENANT).rows(WHO, {})
    with pytest.raises(DomainError):
        await made.readings(TENANT).rows(b"SELECT 1 / %(zero)s::integer", {"zero": 0})
    with pytest.raises(psycopg.ProgrammingError):
        await made.readings(TENANT).rows(b"SELECT nothing", {})

    [[another, agency]] = await made.readings(TENANT).rows(WHO, {})
    assert (another != pid, agency) == (True, str(TENANT.agency_id))
