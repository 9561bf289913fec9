"""Servers for one benchmark: on free ports, in a folder of their own, durable as in development."""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.messages import AgencyRef
from db import migrate
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.tenancy import Tenant
from gateways.sftp import SftpGateway
from gateways.sftp_endpoint import SftpEndpoint
from runtime import temporal
from runtime.settings import Settings, load_settings
from sandbox.ports import LOOPBACK, free_port
from sandbox.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER, Postgres
from sandbox.processes import Child, Command, until
from sandbox.sftp_users import DEMO_USERS
from sandbox.stack import Stack, environment
from workers.deployment import ensure_search_attributes
from workflows import queues
from workflows.portfolio import PortfolioPoll

BUILD = "bench"
ACTOR = "bench"
_PORTS = ("postgres", "temporal", "temporal_ui", "sftp", "stripe")
_WORKER_START_S = 60.0
_SFTP_USER = DEMO_USERS[0]


class World:
    """PostgreSQL, Temporal, SFTP and Stripe servers that run, and databases made for one measurement each."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL server."""
        return self.stack.postgres

    @property
    def settings(self) -> Settings:
        """What the servers were started with."""
        return self.stack.settings

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The name of a fresh migrated database, dropped at the end.

        It is copied file by file, which ends in a checkpoint: each measurement begins with a clean slate.
        """
        name = f"bench_{uuid.uuid4().hex[:12]}"
        create = SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
        await self._administer(create.format(Identifier(name), Identifier(OWNER), Identifier(DATABASE)))
        try:
            yield name
        finally:
            await self._administer(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    async def checkpoint(self) -> None:
        """Write what earlier work left dirty, so that a measurement pays only for its own."""
        await self._administer(SQL("CHECKPOINT"))

    async def _administer(self, statement: Any) -> None:
        url = self.postgres.url(SUPERUSER, "postgres")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(statement)

    @asynccontextmanager
    async def child(self, name: str, module: str, *words: str, **settings: Any) -> AsyncIterator[Child]:
        """A Python process of the product with these settings, until the block ends."""
        chosen = Settings(_env_file=None, **{**self.settings.model_dump(), **settings})
        command = Command(
            [sys.executable, "-m", module, *words], environment={**self._inherited(), **environment(chosen)}
        )
        process = Child(name, command, self.stack.logs / f"{name}.log")
        await process.start()
        try:
            yield process
        finally:
            await process.stop()

    def _inherited(self) -> dict[str, str]:
        """The environment less our own settings, and with compiled code kept, as it is by default.

        Each workflow instance loads its module anew; compiling it each time would be measured too.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
        if kept.pop("PYTHONDONTWRITEBYTECODE", None):
            kept["PYTHONPYCACHEPREFIX"] = str(self.stack.home / "pycache")
        return kept

    async def until_polled(self, process: Child, *task_queues: str) -> None:
        """Wait until a worker process polls the queues. Raises ``NotReadyError`` with its last words."""

        async def polled() -> bool:
            return all([await self._is_polled(queue, process) for queue in task_queues])

        await process.until(polled, within_s=_WORKER_START_S)

    async def _is_polled(self, queue: str, process: Child) -> bool:
        for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
            answer = await self.client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=self.client.namespace,
                    task_queue=TaskQueue(name=queue),
                    task_queue_type=kind,
                )
            )
            if any(poller.identity.startswith(f"{process.pid}@") for poller in answer.pollers):
                return True
        return False

    @asynccontextmanager
    async def shop(self, **settings: Any) -> AsyncIterator["Shop"]:
        """An agency with an inbox in a database of its own, served by a real worker process."""
        async with self.database() as name:
            url = self.postgres.url(APPLICATION, name)
            keys = self.settings.column_keys.get_secret_value()
            database = Database(url, ColumnCipher(parse_keys(keys)), application_name=ACTOR)
            try:
                agency_id = await self._agency(database, name)
                async with self.child("worker", "cli.main", "worker", database_url=url, **settings) as worker:
                    await self.until_polled(worker, queues.LIFECYCLE, queues.BULK)
                    yield Shop(self, name, agency_id, worker)
            finally:
                await database.close()

    async def _agency(self, database: Database, slug: str) -> uuid.UUID:
        async with database.platform() as tx:
            agency = await tx.agencies.add({"slug": slug, "name": "Bench", "lifecycle_capacity": 0})
        async with database.transaction(Tenant.system(agency.id, ACTOR)) as tx:
            await tx.creditors.add({"name": "Bench Credit", "is_default": True})
            await tx.sources.add(
                {
                    "name": "inbox",
                    "host": LOOPBACK,
                    "port": self.settings.sftp_port,
                    "username": _SFTP_USER.name,
                    "host_key": self.stack.sftp_host_key,
                    "inbox": "/inbox",
                },
                {"password": _SFTP_USER.password},
            )
        return agency.id


@dataclass(frozen=True, slots=True)
class Shop:
    """An agency at work: its database and the worker process that serves it."""

    world: World
    database: str
    agency_id: uuid.UUID
    worker: Child

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement, past row-level security."""
        url = self.world.postgres.url(SUPERUSER, self.database)
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def send(self, file: Path) -> None:
        """Put a file into the inbox as a creditor does: over SFTP."""
        settings = self.world.settings
        endpoint = SftpEndpoint(
            host=LOOPBACK,
            port=settings.sftp_port,
            username=_SFTP_USER.name,
            password=_SFTP_USER.password,
            host_key=self.world.stack.sftp_host_key,
        )
        async with SftpGateway().connect(endpoint) as session:
            await session.upload(file, f"/inbox/{file.name}")

    async def poll(self) -> str:
        """Look into the inbox now; the id of the poll's workflow. The imports it starts go on."""
        workflow_id = f"poll/{uuid.uuid4()}"
        await self.world.client.execute_workflow(
            PortfolioPoll.run,
            AgencyRef(agency_id=self.agency_id),
            id=workflow_id,
            task_queue=queues.LIFECYCLE,
        )
        return workflow_id

    async def until(self, statement: str, *, within_s: float, what: str) -> dict[str, Any]:
        """The first row of a statement, as soon as there is one."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found.extend(await self.query(statement))
            return bool(found) or not self.worker.running

        await until(there, within_s=within_s, what=what)
        if not found:
            raise RuntimeError(f"the worker {self.worker.ending()}:\n{self.worker.tail()}")
        return found[0]


@asynccontextmanager
async def world(report: Callable[[str], None]) -> AsyncIterator[World]:
    """Start the servers; stop them and remove everything when the block ends, however it ends."""
    with TemporaryDirectory(prefix="recoup-bench-", ignore_cleanup_errors=True) as folder:
        settings = _settings(Path(folder))
        stack = Stack(
            settings,
            migrate=migrate.upgrade,
            apps=(),
            report=lambda name, where: report(f"{name}: {where}"),
            users=(_SFTP_USER,),
        )
        try:
            await stack.start()
            client = await temporal.connect(settings)
            await ensure_search_attributes(client)
            yield World(stack, client)
        finally:
            await stack.stop()


def _settings(folder: Path) -> Settings:
    ports = {f"{name}_port": number for name, number in zip(_PORTS, _distinct_ports(), strict=True)}
    # Nothing of the caller's environment: it may name the databases of a running system.
    return Settings(
        _env_file=None,
        **{
            **Settings.model_construct().model_dump(),
            **ports,
            "home": folder,
            "build_id": BUILD,
            "log_level": "WARNING",
            "postgres_bin": load_settings().postgres_bin,
            "poll_settle_seconds": 0,
        },
    )


def _distinct_ports() -> list[int]:
    found: set[int] = set()
    while len(found) < len(_PORTS):
        found.add(free_port())
    return sorted(found)
