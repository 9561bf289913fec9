"""All servers and processes of the sandbox as one thing: start in order of need, watch, stop in reverse."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, Port, is_free
from sandbox.postgres import OWNER, Postgres, ensure_database
from sandbox.processes import Child, Command
from sandbox.sftp_users import DEMO_USERS, SftpUser, public_host_key, write_users
from sandbox.temporal import TemporalServer

if TYPE_CHECKING:
    from runtime.settings import Settings

_APP_START_S = 90.0
_APP_STOP_S = 8.0
_SFTP_START_S = 30.0
_STRIPE_START_S = 30.0


RESTART_WINDOW_S = 120.0
"""A process that ends too often within this time is broken; one killed now and then is not."""


@dataclass(frozen=True)
class App:
    """A process of the product itself: what runs it, when it is ready and how often it may come back
    within ``window_s``."""

    name: str
    words: Sequence[str]
    ready: Callable[[], Awaitable[bool]] | None = None
    restarts: int = 3
    window_s: float = RESTART_WINDOW_S


def product(settings: "Settings") -> tuple[App, ...]:
    """The API and one worker for all task queues, as ``recoup api`` and ``recoup worker`` run them.

    With payload keys the codec endpoint too, as otherwise nobody could read the Web UI.
    """
    recoup = (sys.executable, "-m", "cli.main")
    apps = (
        App("API", (*recoup, "api"), lambda: answers_http(settings.api_port, "/health/live")),
        App("worker", (*recoup, "worker")),
    )
    if not encrypts(settings):
        return apps
    answers = partial(answers_http, settings.codec_port, "/health/live")
    return (*apps, App("codec", (*recoup, "codec"), answers))


def encrypts(settings: "Settings") -> bool:
    """Whether there are keys for what Temporal keeps."""
    return bool(settings.payload_keys.get_secret_value())


async def keep_running(
    app: App, child: Child, *, report: Callable[[str, str], None], stopping: Callable[[], bool]
) -> None:
    """Start a running child again whenever it ends, until it has ended too often, or all is ``stopping``."""
    ended: list[float] = []
    while True:
        await child.wait()
        now = time.monotonic()
        ended = [*(at for at in ended if now - at < app.window_s), now]
        if stopping() or len(ended) > app.restarts:
            return
        report(app.name, f"{child.ending()}; starting it again ({len(ended)} of {app.restarts})")
        await child.start()


class Stack:
    """The running sandbox.

    Args:
        settings: ports, folders and the rest; handed to the apps as environment.
        migrate: brings the database at a URL (of its owner) to the present schema; runs in a thread.
        apps: the product's own processes.
        report: told of each thing that came up (name, where) and each restart.
        users: who may log in at the SFTP server.
    """

    def __init__(
        self,
        settings: "Settings",
        *,
        migrate: Callable[[str], object],
        apps: Sequence[App],
        report: Callable[[str, str], None],
        users: Sequence[SftpUser] = DEMO_USERS,
    ) -> None:
        self.settings = settings
        self.home = settings.home.absolute()
        self.logs = self.home / "logs"
        self.users = {user.name: user for user in users}
        self.postgres = Postgres(
            self.home / "postgres",
            settings.postgres_port,
            log=self.logs / "postgres.log",
            binaries=settings.postgres_bin,
        )
        self.temporal = TemporalServer(
            settings.temporal_port,
            log=self.logs / "temporal.log",
            database=self.home / "temporal" / "temporal.db",
            ui_port=settings.temporal_ui_port,
            namespace=settings.temporal_namespace,
            codec_endpoint=f"http://{LOOPBACK}:{settings.codec_port}/codec" if encrypts(settings) else None,
        )
        self.sftp = Child("SFTP", self._sftp_command(), self.logs / "sftp.log")
        self.stripe = Child("Stripe", self._stripe_command(), self.logs / "stripe.log")
        self._migrate = migrate
        self._report = report
        self._apps = {app.name: (app, self._app_child(app)) for app in apps}
        self._stopping = False

    @property
    def apps(self) -> Mapping[str, Child]:
        """The product's own processes, by name."""
        return {name: child for name, (_, child) in self._apps.items()}

    @property
    def ports(self) -> list[Port]:
        """The ports that the stack listens on, with the settings that change them."""
        settings = self.settings
        return [
            Port(settings.postgres_port, "PostgreSQL", "RECOUP_POSTGRES_PORT"),
            Port(settings.temporal_port, "Temporal", "RECOUP_TEMPORAL_PORT"),
            Port(settings.temporal_ui_port, "the Temporal Web UI", "RECOUP_TEMPORAL_UI_PORT"),
            Port(settings.sftp_port, "SFTP", "RECOUP_SFTP_PORT"),
            Port(settings.stripe_port, "the Stripe stand-in", "RECOUP_STRIPE_PORT"),
            Port(settings.api_port, "the API", "RECOUP_API_PORT"),
            *([Port(settings.codec_port, "the codec", "RECOUP_CODEC_PORT")] if encrypts(settings) else []),
        ]

    @property
    def sftp_root(self) -> Path:
        """The folder with the SFTP users' roots, each under the user's name."""
        return self.home / "sftp"

    @property
    def sftp_host_key(self) -> str:
        """The SFTP server's public host key, ``type base64``; there once it runs."""
        return public_host_key(self._host_key_file)

    @property
    def children(self) -> list[Child]:
        """Every process that runs now."""
        every = [self.sftp, self.stripe, *(child for _, child in self._apps.values())]
        every += [server.child for server in (self.postgres, self.temporal) if server.started]
        return [child for child in every if child.running]

    async def start(self) -> None:
        """Start everything, what is independent at the same time. Raises ``SandboxError``.

        What was started stays up when something else fails: call ``stop`` in any case.
        """
        await together(self._start_stripe(), self._start_product())

    async def watch(self) -> None:
        """Run until a process ends unexpectedly, for apps once too often. Raises ``SandboxError`` then."""
        await together(
            *(self._watch_server(server) for server in (self.postgres.child, self.temporal.child)),
            *(self._watch_server(server) for server in (self.sftp, self.stripe)),
            *(self._watch_app(app, child) for app, child in self._apps.values()),
        )

    async def stop(self) -> None:
        """Stop everything in reverse order; harmless when something or all is stopped already."""
        self._stopping = True
        await together(*(child.stop(grace_s=_APP_STOP_S) for _, child in self._apps.values()))
        await together(self.sftp.stop(), self.stripe.stop(), self.temporal.stop())
        await self.postgres.stop()

    def kill(self) -> None:
        """End everything at once; the next start recovers."""
        self._stopping = True
        for child in self.children:
            # PostgreSQL ends its own processes on SIGQUIT; on SIGKILL they would notice later.
            child.signal(signal.SIGQUIT if child.name == "PostgreSQL" else signal.SIGKILL)

    async def _start_product(self) -> None:
        await together(self._start_database(), self._start_temporal(), self._start_sftp())
        await together(*(self._start_app(app, child) for app, child in self._apps.values()))

    async def _start_database(self) -> None:
        began = time.monotonic()
        await self.postgres.start()
        await ensure_database(self.postgres)
        self._came_up("PostgreSQL", f"{LOOPBACK}:{self.postgres.port}", began)
        began = time.monotonic()
        await asyncio.to_thread(self._migrate, self.postgres.url(OWNER))
        self._came_up("schema", "migrated", began)

    async def _start_temporal(self) -> None:
        began = time.monotonic()
        await self.temporal.start()
        self._came_up("Temporal", f"{self.temporal.address}, Web UI {self.settings.temporal_ui_url}", began)

    async def _start_sftp(self) -> None:
        began = time.monotonic()
        write_users(self._users_file, list(self.users.values()))
        await self.sftp.start()
        await self.sftp.until(lambda: _listens(self.settings.sftp_port), within_s=_SFTP_START_S)
        self._came_up("SFTP", f"{LOOPBACK}:{self.settings.sftp_port}", began)

    async def _start_stripe(self) -> None:
        began = time.monotonic()
        await self.stripe.start()
        await self.stripe.until(
            lambda: answers_http(self.settings.stripe_port, "/"), within_s=_STRIPE_START_S
        )
        self._came_up("Stripe", f"{LOOPBACK}:{self.settings.stripe_port}, a stand-in", began)

    async def _start_app(self, app: App, child: Child) -> None:
        began = time.monotonic()
        await child.start()
        if app.ready:
            await child.until(app.ready, within_s=_APP_START_S)
        self._came_up(app.name, "running", began)

    async def _watch_server(self, child: Child) -> None:
        await child.wait()
        self._unexpected(child)

    async def _watch_app(self, app: App, child: Child) -> None:
        await keep_running(app, child, report=self._report, stopping=lambda: self._stopping)
        self._unexpected(child)

    def _unexpected(self, child: Child) -> None:
        if not self._stopping:
            raise SandboxError(f"{child.name} {child.ending()}; the end of {child.log}:\n{child.tail()}")

    def _came_up(self, name: str, where: str, began: float) -> None:
        self._report(name, f"{where}  ({time.monotonic() - began:.1f} s)")

    def _app_child(self, app: App) -> Child:
        command = Command(app.words, environment={**os.environ, **environment(self.settings)})
        return Child(app.name, command, self.logs / f"{app.name.lower()}.log")

    def _sftp_command(self) -> Command:
        words = [sys.executable, "-m", "sandbox.sftp", "--root", str(self.sftp_root)]
        words += ["--users", str(self._users_file), "--host-key", str(self._host_key_file)]
        return Command([*words, "--port", str(self.settings.sftp_port)])

    def _stripe_command(self) -> Command:
        words = [sys.executable, "-m", "sandbox.stripe", "--file", str(self.home / "stripe" / "stripe.db")]
        return Command([*words, "--port", str(self.settings.stripe_port)])

    @property
    def _users_file(self) -> Path:
        return self.home / "keys" / "sftp_users.json"

    @property
    def _host_key_file(self) -> Path:
        return self.home / "keys" / "sftp_host_key"


def environment(settings: "Settings") -> Mapping[str, str]:
    """The settings as the variables that make a child read the very same ones."""
    values = settings.model_dump(exclude_none=True)
    return {f"RECOUP_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple) else str(value)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at the same time; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def answers_http(port: int, path: str) -> bool:
    """Whether the server answers a GET of the path with a status below 400."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        status = (await asyncio.wait_for(reader.readline(), 5)).split()
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return len(status) > 1 and status[1] < b"400"


async def _listens(port: int) -> bool:
    return not is_free(port)
