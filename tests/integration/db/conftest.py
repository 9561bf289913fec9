"""What tests of several stores share."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from db.cipher import ColumnCipher
from db.session import Database
from tests.integration.db.shop import ON_THEM, SEED, SEEDED, Shop


@pytest.fixture(scope="module")
async def shop(module_database: Any) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        await connection.execute(SEED)
        rows = await (await connection.execute("SELECT id FROM agency ORDER BY slug")).fetchall()
    database = Database(module_database.app_url, ColumnCipher({"test": b"k" * 32}))
    made = Shop(database, module_database.owner_url, rows[0][0], rows[1][0])
    for number in range(SEEDED):
        await made.place(made.north if number < SEEDED - 5 else made.south)
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        await connection.execute(ON_THEM)
    yield made
    await database.close()
