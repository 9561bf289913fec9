"""Child processes that cannot outlive the one that started them: start, wait, stop, and their logs."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_delay, wait_fixed

from sandbox import child
from sandbox.errors import NotReadyError

LOG_LIMIT_BYTES = 10 << 20
_POLL_S = 0.02
_TAIL_BYTES = 16 << 10


@dataclass(frozen=True)
class Drop:
    """How a child of root stops being root: see ``sandbox.child``."""

    way: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """What to run: the words, its folder and environment, and what it gets when the parent is gone."""

    words: Sequence[str]
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None
    drop: Drop | None = None
    on_parent_death: signal.Signals = field(default=signal.SIGKILL)

    def launched(self) -> list[str]:
        """The words that start the command through ``sandbox.child``."""
        # By its path and isolated: three times as fast as -m, and independent of the folder.
        launcher = [sys.executable, "-I", "-S", child.__file__]
        launcher += ["--parent", str(os.getpid()), "--signal", str(int(self.on_parent_death))]
        if self.drop:
            launcher += ["--drop", self.drop.way, "--uid", str(self.drop.uid), "--gid", str(self.drop.gid)]
        return [*launcher, "--", *self.words]


class Child:
    """One long-running process in a session of its own, so that Ctrl-C reaches only its parent.

    Start children from the main thread: the kernel's wish for the parent's death is tied to the
    thread that forked.
    """

    def __init__(self, name: str, command: Command, log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process, its output appended to the log."""
        _rotate(self.log)
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.command.launched(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.command.cwd,
                env=self.command.environment,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._process.wait()

    async def until(self, ready: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
        """Wait until the server answers. Raises ``NotReadyError`` when it ends or takes too long."""
        await until(lambda: self._ready_or_ended(ready), within_s=within_s, what=f"{self.name} to answer")
        if not self.running:
            raise NotReadyError(f"{self.name} {self.ending()} at its start:\n{self.tail()}")

    async def _ready_or_ended(self, ready: Callable[[], Awaitable[bool]]) -> bool:
        return not self.running or await ready()

    async def stop(self, *signals: signal.Signals, grace_s: float = 5) -> None:
        """Send each signal in turn (default SIGTERM), waiting ``grace_s`` after each, and at last SIGKILL."""
        for number in (*(signals or (signal.SIGTERM,)), signal.SIGKILL):
            if self._process is None or self._process.returncode is not None:
                return
            self.signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; with SIGKILL to all of its session."""
        if self._process and self.running:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.send_signal(number)

    def ending(self) -> str:
        """How it ended, as half a sentence."""
        code = self._process.returncode if self._process else None
        if code is None:
            return "still runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float, what: str) -> None:
    """Ask again and again until the condition holds. Raises ``NotReadyError`` after ``within_s``."""

    async def ask() -> bool:
        return await condition()

    try:
        await AsyncRetrying(
            retry=retry_if_result(lambda held: not held),
            stop=stop_after_delay(within_s),
            wait=wait_fixed(_POLL_S),
        )(ask)
    except RetryError as error:
        raise NotReadyError(f"waited {within_s:g} s in vain for {what}") from error


def alive(process: psutil.Process) -> bool:
    """Whether the process still does anything.

    One that ended but was not collected does not: in a container without an init, orphans stay so.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def ended(processes: Iterable[psutil.Process], *, within_s: float) -> list[psutil.Process]:
    """Wait for processes, children or not; those that still live after ``within_s``."""
    watched = list(processes)

    async def all_ended() -> bool:
        return not any(alive(process) for process in watched)

    with contextlib.suppress(NotReadyError):
        await until(all_ended, within_s=within_s, what="processes to end")
    return [process for process in watched if alive(process)]


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a text file; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
