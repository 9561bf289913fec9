"""A desk of its own for each test, in a database that the tests of one module share."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from gateways.storage import ObjectStorage
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Settings
from tests.integration.accounts.desk import Desk
from workers.deployment import ensure_search_attributes, make_current
from workers.worker import serving
from workflows import queues

BUILD = str(Settings.model_fields["build_id"].default)
"""That of the application in tests of the API, which some modules here have in the same namespace."""


@pytest.fixture(scope="module")
async def db(module_database: Any) -> AsyncIterator[Database]:
    keys = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))
    made = Database(module_database.app_url, keys, pool_size=20)
    yield made
    await made.close()


@pytest.fixture
async def desk(module_database: Any, db: Database) -> Desk:
    made = Desk(db, module_database.superuser_url)
    await made.open()
    return made


@pytest.fixture(scope="module")
async def namespace(temporal_client: Client) -> Client:
    """The module's namespace, prepared as a deployment prepares it."""
    await ensure_search_attributes(temporal_client)
    await make_current(temporal_client, BUILD)
    return temporal_client


@pytest.fixture(scope="module")
async def client(
    module_database: Any, db: Database, namespace: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """A client of a namespace in which a worker serves the lifecycles."""
    folder = tmp_path_factory.mktemp("storage")
    settings = Settings(
        _env_file=None,
        database_url=module_database.app_url,
        build_id=BUILD,
        storage_url=f"file://{folder}",
    )
    storage = ObjectStorage(settings.storage_url)
    async with serving(settings, db, namespace, storage, [queues.LIFECYCLE]):
        yield namespace
