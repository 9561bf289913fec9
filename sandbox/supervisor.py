"""What ``recoup dev`` and ``recoup demo`` run: the whole sandbox, one per folder, all ended with it."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.text import Text

from sandbox.errors import SandboxError
from sandbox.ports import require_free
from sandbox.processes import ended
from sandbox.seed import LOGIN_HINT
from sandbox.stack import App, Stack, product

if TYPE_CHECKING:
    from rich.console import Console

    from runtime.settings import Settings

INTERRUPTED = 130
_LEFTOVER_S = 6.0
_SAME_PROCESS_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Starts the sandbox, runs what comes after, and stops all on a signal or the first failure.

    Args:
        settings: ports, folders and the rest.
        console: where progress and problems are shown.
        migrate: ``db.migrate.upgrade``.
        after_start: called with the running stack: seeding and the demo show.
        stay: run until a signal after that (``dev``), or stop (``demo``).
        apps: the product's own processes; by default the API and a worker.
    """

    def __init__(
        self,
        settings: "Settings",
        console: "Console",
        *,
        migrate: Callable[[str], object],
        after_start: Callable[[Stack], Awaitable[None]] | None = None,
        stay: bool = True,
        apps: Sequence[App] | None = None,
    ) -> None:
        self._home = settings.home.absolute()
        self._console = console
        self._after_start = after_start
        self._stay = stay
        self._settled = False
        hint = settings.login_hint or LOGIN_HINT
        self._stack = Stack(
            settings.model_copy(update={"login_hint": hint}),
            migrate=migrate,
            apps=product(settings) if apps is None else apps,
            report=self._came_up,
        )

    async def run(self) -> int:
        """Run the sandbox; the exit code: 0, 1 after a failure, 130 when interrupted before it was ready.

        Failures of the sandbox are shown in a line; those of ``after_start`` are raised when all is stopped.
        """
        try:
            _refuse_production(self._stack.settings)
            with only_one(self._home):
                await end_leftovers(self._children_file)
                require_free(self._stack.ports)
                return await self._until_signal()
        except SandboxError as error:
            self._console.print(Text(str(error), style="red"))
            return 1

    @property
    def _children_file(self) -> Path:
        return self._home / "children.json"

    async def _until_signal(self) -> int:
        interrupted = asyncio.Event()

        def on_signal() -> None:
            if interrupted.is_set():
                self._stack.kill()
            interrupted.set()

        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal)
        work = asyncio.create_task(self._work())
        signalled = asyncio.create_task(interrupted.wait())
        try:
            await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                return 0
            self._console.print("stopping; once more to stop at once")
            return 0 if self._settled else INTERRUPTED
        finally:
            await self._end(work, signalled)
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def _work(self) -> None:
        with (
            self._console.status("starting the sandbox")
            if self._console.is_terminal
            else contextlib.nullcontext()
        ):
            await self._stack.start()
        watching = asyncio.create_task(self._stack.watch())
        showing = asyncio.create_task(self._show())
        try:
            await asyncio.wait({watching, showing}, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done():
                await showing
                self._settled = True
            if self._stay or watching.done():
                await watching
        finally:
            await _cancel(watching, showing)

    async def _show(self) -> None:
        if self._after_start:
            await self._after_start(self._stack)

    async def _end(self, *tasks: asyncio.Task[object]) -> None:
        await _cancel(*tasks)
        await self._stack.stop()
        self._children_file.unlink(missing_ok=True)

    def _came_up(self, name: str, where: str) -> None:
        self._console.print(Text.assemble(("✓ ", "green"), f"{name:<11} {where}"))
        remember(self._children_file, [child.pid for child in self._stack.children if child.pid])


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process. Raises ``SandboxError`` when another has it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("a+")
    except PermissionError as error:
        raise SandboxError(
            f"this user may not write to {home} ({error.strerror}): start as the user who made it, "
            "or set RECOUP_HOME to another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SandboxError(
                f"another sandbox runs in {home} (pid {lock.read().strip() or 'unknown'}): stop it, "
                "or set RECOUP_HOME and the RECOUP_…_PORT variables to run a second one"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def remember(file: Path, pids: Sequence[int]) -> None:
    """Write down the processes that run, with the time each was made, since pids are used again."""
    known = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            known.append([pid, psutil.Process(pid).create_time()])
    file.write_text(json.dumps(known))


def remembered(file: Path) -> list[psutil.Process]:
    """The processes written down that still exist."""
    try:
        known = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [process for pid, created in known if (process := _same_process(pid, created))]


async def end_leftovers(file: Path) -> None:
    """End what a killed supervisor left: on Linux it is ending already, elsewhere it runs on."""
    left = remembered(file)
    for end in (None, psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.Error):
                if end:
                    end(process)
        left = await ended(left, within_s=_LEFTOVER_S)


def _same_process(pid: int, created: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if abs(process.create_time() - created) < _SAME_PROCESS_S else None


def _refuse_production(settings: "Settings") -> None:
    if settings.is_production:
        raise SandboxError("the sandbox is for development only: unset RECOUP_ENV")


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
