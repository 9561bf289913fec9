"""The product as a newcomer starts it: ``recoup dev`` in a process of its own, on free ports."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import httpx
import psutil
import pytest

from sandbox.ports import free_ports

IN_TURN = ("test_sandbox.py", "", "test_ending.py")
"""The newcomer's story of a sandbox that nobody has touched, everything else, and its end."""

READY = "Ctrl-C stops everything"
PORTS = ("API", "POSTGRES", "TEMPORAL", "TEMPORAL_UI", "SFTP", "STRIPE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one sandbox: order them by what they find and leave."""
    here = Path(__file__).parent
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(here)]
    ordered = sorted((items[place] for place in places), key=_turn)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _turn(item: pytest.Item) -> int:
    return IN_TURN.index(item.path.name if item.path.name in IN_TURN else "")


@dataclass
class Sandbox:
    """A home folder with ports of its own, and how to run ``recoup`` in it.

    ``supervisor`` is the ``recoup dev`` that was started last, ``printed`` what it said until it was up.
    """

    home: Path
    environment: dict[str, str]
    supervisor: asyncio.subprocess.Process | None = None
    printed: str = ""

    @property
    def api(self) -> str:
        """The base URL of the REST API."""
        return f"http://127.0.0.1:{self.environment['RECOUP_API_PORT']}/api/v1"

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """``recoup`` with ``words``, its output piped."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *words,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of ``recoup`` with ``words``."""
        process = await self.start(*words)
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def come_up(self) -> asyncio.subprocess.Process:
        """``recoup dev``, ready."""
        self.supervisor = await self.start("dev")
        self.printed = await _until_ready(self.supervisor)
        return self.supervisor

    @asynccontextmanager
    async def log_in(self, username: str, password: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the API that is logged in."""
        async with httpx.AsyncClient(base_url=self.api, timeout=90) as client:
            answer = await client.post("/auth/token", json={"username": username, "password": password})
            client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access']}"
            yield client

    @asynccontextmanager
    async def sftp(self, username: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """What a creditor or partner sees of the SFTP server."""
        async with (
            asyncssh.connect(
                "127.0.0.1",
                int(self.environment["RECOUP_SFTP_PORT"]),
                username=username,
                password="demo",
                known_hosts=None,
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            yield client


def new_sandbox(home: Path) -> Sandbox:
    """A sandbox that is not running yet."""
    numbers = free_ports(len(PORTS))
    ports = {f"RECOUP_{name}_PORT": str(port) for name, port in zip(PORTS, numbers, strict=True)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    chosen = {
        "RECOUP_HOME": str(home),
        "RECOUP_POLL_SETTLE_SECONDS": "0.5",
        # A workflow each: some for every level.
        "RECOUP_LIFECYCLE_CAPACITY": "40",
    }
    return Sandbox(home, {**kept, **ports, **chosen})


async def _until_ready(process: asyncio.subprocess.Process) -> str:
    """What ``recoup dev`` printed until it was up."""
    assert process.stdout is not None
    printed = []
    async with asyncio.timeout(200):
        while line := (await process.stdout.readline()).decode():
            printed.append(line)
            if READY in line:
                return "".join(printed)
    raise AssertionError("recoup dev ended early:\n" + "".join(printed))


async def interrupt(process: asyncio.subprocess.Process) -> tuple[int, list[psutil.Process]]:
    """Ctrl-C: the exit code, and the processes that were left behind."""
    if not psutil.pid_exists(process.pid):
        # It ended by itself: what it said last is what whoever asks wants to know.
        await process.communicate()
        return process.returncode or 0, []
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    _, left = psutil.wait_procs(family, timeout=30)
    return process.returncode or 0, left


@pytest.fixture(scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """The sandbox of all tests here, its samples imported, scored and admitted; the last test ends it."""
    sandbox = new_sandbox(tmp_path_factory.mktemp("sandbox") / "home")
    try:
        await sandbox.come_up()
        yield sandbox
    finally:
        if sandbox.supervisor is not None and sandbox.supervisor.returncode is None:
            await interrupt(sandbox.supervisor)
