"""The most memory that a process and its children held at one moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

_EVERY_S = 0.05


class Peak:
    """Resident memory of a process tree, watched from outside."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._pid = pid
        self._bytes = 0

    def look(self) -> int:
        """Look now; the peak so far, in bytes.

        Where the kernel keeps the peak of a process (Linux), nothing between two looks is missed.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [self._process, *self._process.children(recursive=True)]
            held = 0
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    held += member.memory_info().rss
            self._bytes = max(self._bytes, held, self._high_water())
        return self._bytes

    def _high_water(self) -> int:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
        return 0


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Peak]:
    """Watch a process until the block ends."""
    peak = Peak(pid)

    async def watch() -> None:
        while True:
            peak.look()
            await asyncio.sleep(_EVERY_S)

    task = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        peak.look()
