"""``recoup`` as it is typed, by processes that ``tests.forking`` has ready."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Child, Command

_REPOSITORY = Path(__file__).parents[1]
_START_S = 60.0
_END_S = 60.0


@dataclass
class Running:
    """A command at work, to be used as an ``asyncio.subprocess.Process`` with two pipes is."""

    pid: int
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _news: asyncio.StreamReader
    _connection: asyncio.StreamWriter
    returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to the command alone."""
        os.kill(self.pid, number)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Wait for its end; what it wrote and was not read yet."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        self.returncode = int(await self._news.readline())
        self._connection.close()
        await self._connection.wait_closed()
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

    async def start(self, *words: str, cwd: Path | None = None, **settings: str) -> Running:
        """``recoup`` with ``words``, in a folder, by default this one."""
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self._path))
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        socket.send_fds(link, [b"\0"], [nothing, out_end, err_end])
        for descriptor in (nothing, out_end, err_end):
            os.close(descriptor)
        news, connection = await asyncio.open_unix_connection(sock=link)
        wanted = {"words": words, "cwd": str(cwd or Path.cwd()), "environment": _environment(settings)}
        connection.write(json.dumps(wanted).encode() + b"\n")
        pid = int(await news.readline())
        return Running(pid, await _reader(out), await _reader(err), news, connection)

    async def run(self, *words: str, cwd: Path | None = None, **settings: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a whole command, none of which is a traceback."""
        running = await self.start(*words, cwd=cwd, **settings)
        out, err = await asyncio.wait_for(running.communicate(), _END_S)
        assert b"Traceback" not in err, err.decode()
        return running.returncode or 0, out.decode(), err.decode()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, but for the width of the terminal and settings of a running system."""
    kept = {k: v for k, v in os.environ.items() if k != "COLUMNS" and not k.startswith("RECOUP_")}
    return {**kept, **settings}


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader
