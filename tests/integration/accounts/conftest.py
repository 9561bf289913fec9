"""A desk of its own for each test, in a database that the tests of one module share."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.integration.accounts.desk import Desk


@pytest.fixture(scope="module")
async def db(module_database: Any) -> AsyncIterator[Database]:
    made = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
async def desk(module_database: Any, db: Database) -> Desk:
    made = Desk(db, module_database.superuser_url)
    await made.open()
    return made
