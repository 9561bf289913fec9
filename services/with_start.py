"""What all updates share that start their workflow on their way."""

import asyncio
from typing import Any

from temporalio.client import WithStartWorkflowOperation


async def seen(start: WithStartWorkflowOperation[Any, Any]) -> None:
    """Take note of what became of a start that nobody asks for, as asyncio complains of failures unseen.

    Does not wait for a start that is still on its way, and lets its caller be cancelled.
    """
    looking = asyncio.ensure_future(start.workflow_handle())
    await asyncio.wait({looking}, timeout=0)
    if not looking.done():
        looking.cancel()
    elif not looking.cancelled():
        looking.exception()
