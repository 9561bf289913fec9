"""Real components for every test, each started once a run, only when a test asks for it.

All servers are children that the kernel ends with this process, ``kill -9`` included.
"""

import asyncio
import gc
import os
import shlex
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncssh
import httpx
import psycopg
import pytest
import structlog
from google.protobuf.duration_pb2 import Duration
from psycopg.sql import SQL, Identifier
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from xdist.scheduler import LoadFileScheduling

from db import migrate
from gateways.stripe import StripeAccount, StripeGateway
from sandbox import child, ports
from sandbox.ports import free_port
from sandbox.postgres import APPLICATION, OWNER, SUPERUSER, THROW_AWAY, Postgres, ensure_database
from sandbox.sftp import SftpServer
from sandbox.sftp_users import SftpUser
from sandbox.stripe.server import StripeServer
from sandbox.stripe.world import Behaviour
from sandbox.temporal import TemporalServer, time_skipping_server
from tests.command_line import CommandLine

TEMPLATE = "recoup_template"
END_TO_END = "tests/e2e/"
LONG_HISTORY = 1024
"""Events from which on the Temporal server suggests a new run: a quarter of what it does otherwise."""

# Errors are logged with their traces, but without the pictures of them that are drawn on a terminal.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# What one process of a run has found free, and has yet to listen on, another does not find.
if _number := os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"):
    _step = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    ports._TO_LISTEN_ON = ports._TO_LISTEN_ON[int(_number) :: _step]

# Clients and workers share what they trust: each reads it anew, 20 ms, and most of hundreds speak plain HTTP.
_create_ssl_context = httpx.create_ssl_context


@cache
def _trusted(*, trust_env: bool) -> ssl.SSLContext:
    return _create_ssl_context(trust_env=trust_env)


def _shared_ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is not True or cert is not None:
        return _create_ssl_context(verify, cert, trust_env)
    return _trusted(trust_env=trust_env)


httpx.create_ssl_context = httpx._transports.default.create_ssl_context = _shared_ssl_context


@dataclass(frozen=True)
class TemporaryDatabase:
    """A migrated database of its own: URLs of the owner, the application and the superuser."""

    name: str
    owner_url: str
    app_url: str
    superuser_url: str


@dataclass(frozen=True)
class SftpFixture:
    """A running SFTP server and what a client needs to log in."""

    server: SftpServer
    host: str
    port: int
    user: str
    password: str
    host_key: str
    known_hosts: str
    private_key: str
    root: Path

    @property
    def inbox(self) -> Path:
        """The folder behind ``/inbox``."""
        return self.root / "inbox"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """``--dist loadfile``, where the files of ``tests/e2e`` count as one: they share a sandbox."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


class ByFile(LoadFileScheduling):
    """All tests of a file, and all of ``tests/e2e``, go to one process, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        return END_TO_END if nodeid.startswith(END_TO_END) else super()._split_scope(nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while everything is imported and stays: a quarter of the time that this takes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Spare the collector what stays until the end: all modules and tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """One PostgreSQL a run, tuned for data that is thrown away."""
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder / "data", free_port(), log=folder / "postgres.log", settings=THROW_AWAY)
    await server.start()
    yield server
    # No checkpoint for what is thrown away.
    await server.stop(fast=False)


@pytest.fixture(scope="session")
async def database_template(postgres_server: Postgres) -> str:
    """The name of a migrated database that others are copied from."""
    await ensure_database(postgres_server, TEMPLATE)
    await asyncio.to_thread(migrate.upgrade, postgres_server.url(OWNER, TEMPLATE))
    return TEMPLATE


@asynccontextmanager
async def _copy(server: Postgres, template: str) -> AsyncIterator[TemporaryDatabase]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(
        server.url(SUPERUSER, "postgres"), autocommit=True
    ) as admin:
        create = SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
        await admin.execute(create.format(Identifier(name), Identifier(OWNER), Identifier(template)))
    try:
        yield TemporaryDatabase(
            name, server.url(OWNER, name), server.url(APPLICATION, name), server.url(SUPERUSER, name)
        )
    finally:
        # A connection of its own: a test may have restarted the server.
        async with await psycopg.AsyncConnection.connect(
            server.url(SUPERUSER, "postgres"), autocommit=True
        ) as admin:
            await admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(scope="session")
def copied(postgres_server: Postgres) -> Callable[[str], AbstractAsyncContextManager[TemporaryDatabase]]:
    """Copies a database, by its name, for as long as a block runs; nobody may be connected to it."""
    return partial(_copy, postgres_server)


@pytest.fixture
async def database(postgres_server: Postgres, database_template: str) -> AsyncIterator[TemporaryDatabase]:
    """A fresh migrated database for one test."""
    async with _copy(postgres_server, database_template) as made:
        yield made


@pytest.fixture(scope="module")
async def module_database(
    postgres_server: Postgres, database_template: str
) -> AsyncIterator[TemporaryDatabase]:
    """A fresh migrated database that the tests of one module share."""
    async with _copy(postgres_server, database_template) as made:
        yield made


@pytest.fixture(scope="session")
async def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TemporalServer]:
    """One Temporal development server a run, in memory and without the Web UI."""
    log = tmp_path_factory.mktemp("temporal") / "temporal.log"
    server = TemporalServer(free_port(), log=log, long_history=LONG_HISTORY)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
async def temporal_namespace(temporal_server: TemporalServer) -> str:
    """The name of a namespace of this module's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client = await Client.connect(temporal_server.address)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    return name


@pytest.fixture(scope="module")
async def temporal_client(temporal_server: TemporalServer, temporal_namespace: str) -> Client:
    """A client of the module's namespace that carries pydantic models, dates and amounts."""
    return await Client.connect(
        temporal_server.address, namespace=temporal_namespace, data_converter=pydantic_data_converter
    )


@pytest.fixture(scope="session")
def time_skipping_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that becomes the time-skipping server, ended by the kernel with this process."""
    launcher = [sys.executable, "-I", "-S", child.__file__, "--parent", str(os.getpid()), "--"]
    words = shlex.join([*launcher, str(time_skipping_server())])
    script = tmp_path_factory.mktemp("time-skipping") / "server"
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
async def time_skipping(time_skipping_binary: Path) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server with a clock of this test's own that skips what workflows wait for."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(time_skipping_binary), data_converter=pydantic_data_converter
    ) as environment:
        yield environment


@pytest.fixture
async def sftp_server(tmp_path: Path) -> AsyncIterator[SftpFixture]:
    """An SFTP server in this process with an empty root, for a user with a password and a key."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    public_key = key.export_public_key().decode().strip()
    user = SftpUser("demo", "demo", public_keys=(public_key,), partners=("northgate",))
    server = SftpServer(
        tmp_path / "sftp", [user], host_key=tmp_path / "keys" / "sftp_host_key", port=free_port()
    )
    await server.start()
    yield SftpFixture(
        server=server,
        host="127.0.0.1",
        port=server.port,
        user=user.name,
        password=user.password,
        host_key=server.host_key,
        known_hosts=server.known_hosts,
        private_key=key.export_private_key().decode(),
        root=server.root_of(user.name),
    )
    await server.stop()


@pytest.fixture(scope="session")
async def command_line() -> AsyncIterator[CommandLine]:
    """``recoup`` by processes that have loaded it already."""
    # Below no long path: that of a socket is short.
    with TemporaryDirectory(prefix="recoup-test-") as folder:
        made = CommandLine(Path(folder))
        await made.open()
        yield made
        await made.close()


@pytest.fixture(scope="session")
async def running_stripe() -> AsyncIterator[StripeServer]:
    """One Stripe stand-in a run, in this process and in memory: a secret key is a world of its own."""
    server = StripeServer(free_port(), first_wait_s=0.01)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def stripe_server(running_stripe: StripeServer) -> Iterator[StripeServer]:
    """The stand-in as it was at its start, but for the worlds of other keys: no faults, the clock right.

    It is left so, too: a fixture of the next module may come before the first test of it.
    """
    _as_at_its_start(running_stripe)
    yield running_stripe
    _as_at_its_start(running_stripe)


def _as_at_its_start(server: StripeServer) -> None:
    server.faults.clear()
    server.engine.store.ahead_s = 0.0
    vars(server.behaviour).update(vars(Behaviour()))


@pytest.fixture
def stripe_key() -> str:
    """A secret key that nobody used before."""
    return f"sk_test_{uuid.uuid4().hex}"


@pytest.fixture
async def stripe_gateway(stripe_server: StripeServer) -> AsyncIterator[StripeGateway]:
    """A way to the stand-in that waits a second for an answer."""
    gateway = StripeGateway(base_url=stripe_server.url, timeout_s=1)
    yield gateway
    await gateway.close()


@pytest.fixture
def stripe_account(stripe_gateway: StripeGateway, stripe_key: str) -> StripeAccount:
    """An agency's account at the stand-in, empty."""
    return stripe_gateway.account(stripe_key)
