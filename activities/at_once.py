"""The same done to many things, a few of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Outcome = TypeVar("_Outcome")


async def each(
    work: Callable[[_Thing], Awaitable[_Outcome]], things: Sequence[_Thing], *, at_once: int
) -> list[_Outcome]:
    """What ``work`` answers for each of ``things``, in their order.

    The first failure ends it all and is raised as it is, so that it says whether trying again may help.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(thing: _Thing) -> _Outcome:
        async with gate:
            return await work(thing)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(thing)) for thing in things]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
