"""Agencies with SFTP inboxes, served by a real worker in which faults can be set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Settings
from sandbox.ports import free_port
from sandbox.sftp_users import SftpUser
from tests.integration.imports.faults import Faults, GatedSftp
from tests.integration.imports.shop import Shop
from workers.deployment import ensure_search_attributes, make_current
from workers.worker import serving


@pytest.fixture(scope="module")
async def namespace(temporal_client: Client) -> Client:
    """The module's namespace, prepared as a deployment prepares it."""
    await ensure_search_attributes(temporal_client)
    await make_current(temporal_client, "test")
    return temporal_client


@pytest.fixture
def settings(database: Any, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database.app_url,
        build_id="test",
        storage_url=f"file://{tmp_path}/storage",
        poll_settle_seconds=0.1,
        admission_rate=200,
        lifecycle_capacity=20,
    )


@pytest.fixture
def faults() -> Faults:
    """What goes wrong in the worker of this test; nothing unless it is told."""
    return Faults()


@pytest.fixture
def agencies() -> tuple[str, ...]:
    """Names of the agencies, each with an SFTP account of that name."""
    return ("acme", "rival")


@pytest.fixture
async def door(tmp_path: Path, agencies: tuple[str, ...]) -> AsyncIterator[GatedSftp]:
    """An SFTP server with an account for each agency."""
    users = [SftpUser(name, "demo") for name in agencies]
    server = GatedSftp(tmp_path / "sftp", users, host_key=tmp_path / "keys" / "host_key", port=free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def db(database: Any) -> AsyncIterator[Database]:
    made = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
async def shops(
    database: Any,
    db: Database,
    door: GatedSftp,
    namespace: Client,
    settings: Settings,
    faults: Faults,
    agencies: tuple[str, ...],
) -> dict[str, Shop]:
    """An agency for each SFTP account; nobody works yet."""
    config = namespace.config()
    config["interceptors"] = [faults]
    client = Client(**config)
    storage = ObjectStorage(settings.storage_url)
    return {
        name: await _made(Shop(settings, db, client, storage, database.superuser_url, faults, door, name))
        for name in agencies
    }


@pytest.fixture
async def shop(shops: dict[str, Shop]) -> AsyncIterator[Shop]:
    """The first agency, with a worker that serves every queue for all of them."""
    async with working(shops["acme"]):
        yield shops["acme"]


@pytest.fixture
def rival(shops: dict[str, Shop]) -> Shop:
    """The second agency."""
    return shops["rival"]


@asynccontextmanager
async def working(shop: Shop) -> AsyncIterator[None]:
    """A worker as `recoup worker` builds it."""
    async with serving(shop.settings, shop.db, shop.client, shop.storage):
        yield


async def _made(shop: Shop) -> Shop:
    async with shop.db.platform() as tx:
        agency = await tx.agencies.add({"slug": shop.name, "name": shop.name.title()})
    shop.agency_id = agency.id
    shop.faults.agencies.add(agency.id)
    async with shop.db.transaction(Tenant.system(agency.id, "test")) as tx:
        await tx.creditors.add({"name": "House Credit", "is_default": True})
        source = await tx.sources.add(
            {
                "name": "inbox",
                "host": "127.0.0.1",
                "port": shop.door.port,
                "username": shop.name,
                "host_key": shop.door.host_key,
                "inbox": "/inbox",
            },
            {"password": "demo"},
        )
    shop.source_id = source.id
    return shop
