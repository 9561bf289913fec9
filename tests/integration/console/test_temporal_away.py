"""An account's page while Temporal is away: complete but for what Temporal alone knows, which it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.composition import build_services
from console.app import create_app
from sandbox.temporal import TemporalServer
from services import lifecycle_view
from tests.applications import application
from tests.integration.api.contacting import debt
from tests.integration.api.people import set_account
from tests.integration.console.conftest import Console


class Gate:
    """A way to a server that can be shut: who came through it is cut off, and nobody else comes in."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._writers: list[asyncio.StreamWriter] = []
        self._pipes: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Open it; its address."""
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def shut(self) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        for writer in self._writers:
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection(self._host, self._port)
        self._writers += [writer, outside]
        for one, other in ((reader, outside), (inside, writer)):
            self._pipes.add(asyncio.create_task(_pipe(one, other)))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()


@asynccontextmanager
async def _cut_off(console: Console, server: TemporalServer, namespace: str) -> AsyncIterator[Console]:
    """The console of a process whose Temporal went away."""
    host, _, port = server.address.partition(":")
    gate = Gate(host, int(port))
    client = await Client.connect(
        await gate.open(), namespace=namespace, data_converter=pydantic_data_converter
    )
    settings = console.world.settings.model_copy(update={"command_patience_seconds": 1})
    services = build_services(settings, console.world.database, client)
    await gate.shut()
    async with AsyncExitStack() as stack:
        yield Console(console.world, application(create_app, settings, services), stack)


async def test_the_page_stands_and_says_what_is_missing(
    console: Console,
    temporal_server: TemporalServer,
    temporal_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle_view, "PATIENCE", timedelta(seconds=0.5))
    account: dict[str, Any] = await debt(console.world)
    await set_account(console.world, account, status="in_contact")
    path = f"/accounts/{account['id']}"
    async with _cut_off(console, temporal_server, temporal_namespace) as cut_off:
        page = await cut_off.get("acme.collector", path)
        assert page.status == httpx.codes.OK
        assert "Ada Lovelace" in page.text
        browser = await cut_off.browser("acme.collector")
        shown = await browser.block(f"{path}/workflow", "workflow")
        assert shown.status == httpx.codes.OK
        assert "cannot be seen at the moment" in shown.text
        moved = await browser.send(page.form("move-negotiating-form"))
        assert moved.status == httpx.codes.SERVICE_UNAVAILABLE
        assert moved.answer.headers["HX-Retarget"] == "#move-negotiating-form .form-problem"
        assert "did not answer in time" in moved.text
