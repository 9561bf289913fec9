"""Reading the next chunk of a file while the one before it is written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from domain.import_profiles import FileRefused

_CHUNKS_AHEAD = 1

_Chunk = TypeVar("_Chunk")


async def read_ahead(chunks: AsyncIterator[_Chunk], commit: Callable[[_Chunk], Awaitable[None]]) -> None:
    """Read ahead of the writer by one chunk.

    A refusal is raised when all before it is written: its list of problems must be whole.
    """
    refused: FileRefused | None = None
    queue: asyncio.Queue[_Chunk | None] = asyncio.Queue(_CHUNKS_AHEAD)

    async def write() -> None:
        while (chunk := await queue.get()) is not None:
            await commit(chunk)

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            try:
                async for chunk in chunks:
                    await queue.put(chunk)
            except FileRefused as error:
                refused = error
            await queue.put(None)
    except ExceptionGroup as group:
        raise _first(group) from group
    if refused is not None:
        raise refused


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
