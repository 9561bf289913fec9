"""An agency with an SFTP source, served by a real worker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from temporalio.client import Client
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from activities.messages import AgencyRef
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.tenancy import Actor, Tenant
from gateways.storage import ObjectStorage
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Settings
from workers.deployment import ensure_search_attributes, make_current
from workers.worker import serving
from workflows import queues
from workflows.portfolio import PollSummary, PortfolioPoll

HEADER = "external_ref,debtor_name,original_amount\n"


def rows(count: int, *, prefix: str = "A", amount: str = "100.00") -> str:
    """``count`` good records below a header."""
    return HEADER + "".join(f"{prefix}-{n},Person {n},{amount}\n" for n in range(count))


@dataclass
class Shop:
    """An agency at work: its database, its inbox, and what to ask of both."""

    settings: Settings
    db: Database
    client: Client
    storage: ObjectStorage
    superuser_url: str
    agency_id: UUID
    source_id: UUID
    inbox: Path

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.agency_id, Actor("system", "test"))

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, row_factory=dict_row) as link:
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall()

    async def one(self, statement: str, *values: Any) -> dict[str, Any]:
        """The only row of a statement."""
        [row] = await self.query(statement, *values)
        return row

    def send(self, content: str | bytes, name: str = "new.csv") -> Path:
        """Put a file into the inbox, whole."""
        data = content.encode() if isinstance(content, str) else content
        path = self.inbox / name
        path.write_bytes(data)
        return path

    async def poll(self) -> PollSummary:
        """Look into the inbox now and wait for the poll, not for the imports it starts."""
        return await self.client.execute_workflow(
            PortfolioPoll.run,
            AgencyRef(agency_id=self.agency_id),
            id=f"poll/{uuid4()}",
            task_queue=queues.LIFECYCLE,
        )

    async def jobs(self) -> list[dict[str, Any]]:
        """The imports, oldest first."""
        return await self.query("SELECT * FROM import_job WHERE agency_id = %s ORDER BY id", self.agency_id)

    async def settled(self, count: int = 1, *, phases: Sequence[str] = ("done",)) -> list[dict[str, Any]]:
        """The imports, once there are ``count`` and each is in one of ``phases``."""

        async def ready() -> bool:
            found = await self.jobs()
            return len(found) >= count and all(job["phase"] in phases for job in found)

        await eventually(ready)
        return await self.jobs()

    async def import_file(self, content: str | bytes, name: str = "new.csv") -> dict[str, Any]:
        """Send a file through the door and wait until it is done with."""
        before = len(await self.jobs())
        self.send(content, name)
        await self.poll()
        return (await self.settled(before + 1))[-1]

    async def problems(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """What was reported about an import's rows, in order."""
        return await self.query(
            'SELECT line, severity, "column", value, error FROM import_error'
            " WHERE import_id = %s ORDER BY line, id",
            job["id"],
        )


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = 45) -> None:
    """Wait for a condition, looking often; fails loudly at the deadline."""
    async for attempt in AsyncRetrying(
        stop=stop_after_delay(within_s), wait=wait_fixed(0.05), retry=retry_if_result(lambda met: not met)
    ):
        with attempt:
            met = await check()
        if attempt.retry_state.outcome and not attempt.retry_state.outcome.failed:
            attempt.retry_state.set_result(met)


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
        poll_settle_seconds=0.3,
        admission_rate=200,
        lifecycle_capacity=20,
    )


@asynccontextmanager
async def made_agency(db: Database, sftp: Any, slug: str) -> AsyncIterator[tuple[UUID, UUID]]:
    async with db.platform() as tx:
        agency = await tx.agencies.add({"slug": slug, "name": slug.title()})
    tenant = Tenant.system(agency.id, "test")
    async with db.transaction(tenant) as tx:
        await tx.creditors.add({"name": f"{slug.title()} Credit", "is_default": True})
        source = await tx.sources.add(
            {
                "name": "inbox",
                "host": sftp.host,
                "port": sftp.port,
                "username": sftp.user,
                "host_key": sftp.host_key,
                "inbox": "/inbox",
            },
            {"password": sftp.password},
        )
    yield agency.id, source.id


@pytest.fixture
async def shop(
    database: Any, sftp_server: Any, namespace: Client, settings: Settings, tmp_path: Path
) -> AsyncIterator[Shop]:
    """An agency with an inbox, and a worker that serves every queue."""
    db = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    storage = ObjectStorage(settings.storage_url)
    async with made_agency(db, sftp_server, "acme") as (agency_id, source_id):
        made = Shop(
            settings=settings,
            db=db,
            client=namespace,
            storage=storage,
            superuser_url=database.superuser_url,
            agency_id=agency_id,
            source_id=source_id,
            inbox=sftp_server.inbox,
        )
        async with serving(settings, db, namespace, storage):
            yield made
    await db.close()
