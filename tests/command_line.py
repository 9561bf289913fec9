"""``recoup`` as it is typed, by processes that ``tests.forking`` has ready."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Child, Command

_REPOSITORY = Path(__file__).parents[1]
_START_S = 60.0
_END_S = 60.0


@dataclass
class Running:
    """A command at work, to be used as an ``asyncio.subprocess.Process`` with two pipes is.

    Where its output goes to a log, there is none to read.
    """

    pid: int
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _news: asyncio.StreamReader
    _connection: asyncio.StreamWriter
    returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to the command alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, and it alone."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if self.returncode is None:
            self.returncode = int(await self._news.readline())
            self._connection.close()
            await self._connection.wait_closed()
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Wait for its end; what it wrote and was not read yet."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err


class CommandLine:
    """Starts ``recoup`` with the settings given and none of the caller's."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "socket"
        words = [sys.executable, "-m", "tests.forking", str(self._path)]
        self._child = Child("the command line", Command(words, cwd=_REPOSITORY), folder / "log")

    async def open(self) -> None:
        """Load the product."""

        async def listening() -> bool:
            return self._path.exists()

        await self._child.start()
        await self._child.until(listening, within_s=_START_S)

    async def close(self) -> None:
        """End what waits for commands."""
        await self._child.stop(signal.SIGKILL)

    async def start(
        self,
        *words: str,
        cwd: Path | None = None,
        log: Path | None = None,
        program: Path | None = None,
        **settings: str,
    ) -> Running:
        """``recoup``, or a Python ``program``, with ``words``, in a folder, by default this one.

        What it writes is to be read, or is appended to ``log``.
        """
        return await self._start(words, settings, cwd, log, program)

    async def _start(
        self,
        words: Sequence[str],
        settings: Mapping[str, str],
        cwd: Path | None,
        log: Path | None = None,
        program: Path | None = None,
    ) -> Running:
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self._path))
        (out, out_end), (err, err_end) = (_pipe(log) for _ in range(2))
        nothing = os.open(os.devnull, os.O_RDONLY)
        socket.send_fds(link, [b"\0"], [nothing, out_end, err_end])
        for descriptor in (nothing, out_end, err_end):
            os.close(descriptor)
        news, connection = await asyncio.open_unix_connection(sock=link)
        wanted = {
            "program": str(program) if program else None,
            "words": words,
            "cwd": str(cwd or Path.cwd()),
            "environment": _environment(settings),
        }
        connection.write(json.dumps(wanted).encode() + b"\n")
        pid = int(await news.readline())
        return Running(pid, await _reader(out), await _reader(err), news, connection)

    @asynccontextmanager
    async def worker(
        self, folder: Path, settings: Mapping[str, str], program: Path | None = None
    ) -> AsyncIterator[Running]:
        """A ``recoup worker``, or a ``program`` that is one, for as long as a block runs, or until killed.

        It writes to ``worker.log`` in its ``folder``.
        """
        words = () if program else ("worker",)
        running = await self._start(words, settings, folder, folder / "worker.log", program)
        try:
            yield running
        finally:
            if running.returncode is None:
                running.kill()
            await running.wait()

    async def run(self, *words: str, cwd: Path | None = None, **settings: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a whole command, none of which is a traceback."""
        running = await self._start(words, settings, cwd)
        out, err = await asyncio.wait_for(running.communicate(), _END_S)
        assert b"Traceback" not in err, err.decode()
        return running.returncode or 0, out.decode(), err.decode()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, but for the width of the terminal and settings of a running system."""
    kept = {k: v for k, v in os.environ.items() if k != "COLUMNS" and not k.startswith("RECOUP_")}
    return {**kept, **settings}


def _pipe(log: Path | None) -> tuple[int, int]:
    """Where to read what is written to the other end, which is nothing if there is a log."""
    source, end = os.pipe()
    if log is None:
        return source, end
    os.close(end)
    return source, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader
