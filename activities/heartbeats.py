"""Heartbeats show that an activity is alive; how far it is stands in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from temporalio import activity

_BEATS_PER_TIMEOUT = 4


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Heartbeat in the background for as long as the block runs, four times per heartbeat timeout."""
    timeout = activity.info().heartbeat_timeout or timedelta(seconds=20)
    task = asyncio.create_task(_beat(timeout.total_seconds() / _BEATS_PER_TIMEOUT))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat(every_s: float) -> None:
    while True:
        # What is done sooner need not say that it is alive, which is a request to the server.
        await asyncio.sleep(every_s)
        activity.heartbeat()
