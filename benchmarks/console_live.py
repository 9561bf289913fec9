"""Reads of the API while many pages listen to progress, and while none does, in turn."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING

import psutil

from benchmarks.console_pages import processor_s
from benchmarks.listeners import OPEN
from benchmarks.served import WORKLIST, Caller, api_caller
from benchmarks.turns import percentile

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

PAGES = 200
READERS = 4
MOST_SLOWER = 1.1
_SETTLE_S = 2.5
"""Progress moves every second and is looked at every second: each page has heard of some by then."""


@dataclass(slots=True)
class Reads:
    """Seconds of each read by one caller, reads a second by ``READERS``, processor seconds of the server."""

    times: list[float] = field(default_factory=list)
    count: int = 0
    took_s: float = 0
    processor_s: float = 0

    @property
    def per_s(self) -> float:
        """Reads a second, by ``READERS`` callers at once."""
        return self.count / self.took_s


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Reads without and with ``pages`` that listen, and what those heard."""

    pages: int
    alone: Reads
    beside: Reads
    events_per_s: float
    bytes_per_s: float
    lag_p50_s: float
    lag_p95_s: float

    @property
    def slower(self) -> float:
        """Median of a read with listeners over one without."""
        return percentile(self.beside.times, 50) / percentile(self.alone.times, 50)

    @property
    def slower_at_once(self) -> float:
        """The same of ``READERS`` at once: rate without over rate with listeners."""
        return self.alone.per_s / self.beside.per_s


async def measure(
    port: int,
    pid: int,
    cookie: str,
    import_id: "UUID",
    requests: int,
    repeat: int,
    report: "Callable[[str], None]",
) -> LiveFigures:
    """``requests`` reads by one caller and as many by ``READERS``, without and with listeners, so often.

    Half of the pages show all imports, the others one of them.
    """
    pages, paths = min(PAGES, requests), ("/imports/live", f"/imports/{import_id}/live")
    alone, beside, heard = Reads(), Reads(), []
    callers = await asyncio.to_thread(lambda: [api_caller(port) for _ in range(READERS)])
    server = psutil.Process(pid)
    for turn in range(repeat):
        report(f"{turn + 1} of {repeat}: reads without and with {pages} pages that listen")
        # Which comes first changes, so that neither has the warmer server.
        for listened in (False, True) if turn % 2 == 0 else (True, False):
            async with AsyncExitStack() as stack:
                if listened:
                    heard.append(await stack.enter_async_context(_listening(port, pages, paths, cookie)))
                    await asyncio.sleep(_SETTLE_S)
                await _read(callers, requests, server, beside if listened else alone)
    for caller in callers:
        caller.close()
    means = {name: sum(one[name] for one in heard) / len(heard) for name in heard[0]}
    return LiveFigures(pages, alone, beside, **means)


@asynccontextmanager
async def _listening(
    port: int, pages: int, paths: Sequence[str], cookie: str
) -> AsyncIterator[dict[str, float]]:
    """Pages that listen, until the block ends; what they heard is known then."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.listeners", str(port), str(pages), *paths),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the pages that listen have no pipes")
    heard: dict[str, float] = {}
    try:
        process.stdin.write(f"{cookie}\n".encode())
        if (await process.stdout.readline()).decode().strip() != OPEN:
            raise RuntimeError("the pages that listen did not all open; see above")
        yield heard
        process.stdin.close()
        heard.update(json.loads(await process.stdout.readline()))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read(callers: Sequence[Caller], requests: int, server: psutil.Process, found: Reads) -> None:
    for caller in callers:
        # Not counted: it may have to connect first.
        await asyncio.to_thread(_timed, caller)
    before = processor_s(server)
    found.times += await asyncio.to_thread(_repeated, callers[0], requests)
    began, each = perf_counter(), -(-requests // len(callers))
    parts = await asyncio.gather(*(asyncio.to_thread(_repeated, caller, each) for caller in callers))
    found.took_s += perf_counter() - began
    found.count += len(list(chain.from_iterable(parts)))
    found.processor_s += processor_s(server) - before


def _repeated(caller: Caller, times: int) -> list[float]:
    return [_timed(caller) for _ in range(times)]


def _timed(caller: Caller) -> float:
    began = perf_counter()
    caller.get(WORKLIST)
    return perf_counter() - began
