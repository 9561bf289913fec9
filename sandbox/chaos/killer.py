"""Kills what the product consists of, at random, and starts it again at once, as an orchestrator does."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.processes import Child
    from sandbox.stack import Stack

LEAST_PAUSE_S, MOST_PAUSE_S = 3.0, 8.0
LEAST_KILLS = 12
DATABASE = "PostgreSQL"


class Killer:
    """``kills`` counts by name what was ended with SIGKILL."""

    def __init__(self, stack: "Stack", random: Random) -> None:
        self._stack = stack
        self._random = random
        self.kills: Counter[str] = Counter()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Kill something every few seconds while the block runs, ``LEAST_KILLS`` times at least; all of it
        runs when it ends.
        """
        over = asyncio.Event()
        work = asyncio.create_task(self._kill_until(over))
        try:
            yield
        finally:
            over.set()
            await work

    async def _kill_until(self, over: asyncio.Event) -> None:
        apps = self._stack.apps
        while not over.is_set() or self.kills.total() < LEAST_KILLS:
            await asyncio.sleep(self._random.uniform(LEAST_PAUSE_S, MOST_PAUSE_S))
            await self._kill(self._random.choice([*apps, DATABASE]))

    async def _kill(self, name: str) -> None:
        self.kills[name] += 1
        if name == DATABASE:
            await self._stack.postgres.kill()
            await self._stack.postgres.start()
            return
        child: Child = self._stack.apps[name]
        child.signal(signal.SIGKILL)
        await child.wait()
        await child.start()
