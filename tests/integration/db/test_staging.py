"""Staging: one holder at a time, and nothing behind a cursor that is gone."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.errors import Unavailable
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS

TENANT = Tenant.system(uuid4(), "test")


@pytest.fixture
async def db(module_database: Any) -> AsyncIterator[Database]:
    made = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


def chunk(*lines: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "line": lines,
            "external_ref": [f"A-{line}" for line in lines],
            "debtor_name": ["Ana"] * len(lines),
            "debtor_ssn_last4": ["1234"] * len(lines),
            "original_amount": ["1.00"] * len(lines),
        }
    )


async def begin(db: Database, import_id: UUID) -> tuple[UUID, dict[str, Any] | None]:
    async with db.transaction(TENANT) as tx:
        return await tx.staging.take_over(import_id)


async def stage(db: Database, import_id: UUID, holder: UUID, *lines: int, finished: bool = False) -> None:
    async with db.transaction(TENANT) as tx:
        await tx.staging.add(import_id, chunk(*lines), "House")
        await tx.staging.advance(import_id, holder, {"cursor": lines[-1], "finished": finished})


async def staged(database: Any, import_id: UUID) -> list[int]:
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
        statement = f"SELECT line FROM staging.placement_{import_id.hex} ORDER BY 1"  # noqa: S608
        found = await link.execute(statement.encode())
        return [line for (line,) in await found.fetchall()]


async def test_staging_goes_on_behind_the_last_committed_chunk(db: Database, module_database: Any) -> None:
    import_id = uuid4()
    holder, position = await begin(db, import_id)
    assert position is None
    await stage(db, import_id, holder, 2, 3)

    later, position = await begin(db, import_id)
    assert position == {"cursor": 3, "finished": False}
    await stage(db, import_id, later, 4, finished=True)

    assert await staged(module_database, import_id) == [2, 3, 4]
    async with db.transaction(TENANT) as tx:
        assert await tx.staging.is_whole(import_id)
        await tx.staging.clear(import_id)
        await tx.staging.clear(import_id)
        assert not await tx.staging.is_whole(import_id)


async def test_an_earlier_holder_can_commit_nothing_more(db: Database, module_database: Any) -> None:
    """A worker that was thought dead comes back: its rows would be doubled."""
    import_id = uuid4()
    first, _ = await begin(db, import_id)
    await stage(db, import_id, first, 2)
    second, _ = await begin(db, import_id)
    with pytest.raises(Unavailable):
        await stage(db, import_id, first, 3)
    await stage(db, import_id, second, 3)
    with pytest.raises(Unavailable):
        await stage(db, import_id, first, 4, finished=True)
    assert await staged(module_database, import_id) == [2, 3]
    async with db.transaction(TENANT) as tx:
        assert not await tx.staging.is_whole(import_id)


async def test_nothing_is_staged_behind_a_cursor_that_a_crash_took(
    db: Database, module_database: Any
) -> None:
    import_id = uuid4()
    holder, _ = await begin(db, import_id)
    await stage(db, import_id, holder, 2)
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as link:
        await link.execute("TRUNCATE staging.cursor")
        await link.execute(f"TRUNCATE staging.placement_{import_id.hex}".encode())
    with pytest.raises(Unavailable):
        await stage(db, import_id, holder, 3)
    _, position = await begin(db, import_id)
    assert position is None
    assert await staged(module_database, import_id) == []


async def test_digits_are_encrypted_before_they_are_staged(db: Database, module_database: Any) -> None:
    import_id = uuid4()
    holder, _ = await begin(db, import_id)
    await stage(db, import_id, holder, 2)
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as link:
        statement = f"SELECT ssn_last4_encrypted, creditor_name FROM staging.placement_{import_id.hex}"  # noqa: S608
        found = await link.execute(statement.encode())
        [(blob, creditor)] = await found.fetchall()
    assert b"1234" not in blob
    assert creditor == "House"
