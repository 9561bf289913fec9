"""Whether people still may see what they listen to: asked once for all that listen in one login."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from domain.errors import Unavailable

CHECK_INTERVAL_S = 3.0
_log = structlog.stdlib.get_logger("access")

LoginT = TypeVar("LoginT")
"""A login as it was when somebody began to listen."""

Event = TypeVar("Event")


@dataclass(slots=True)
class _Watched:
    """One login and those who listen in it; ``over`` is set once it no longer holds."""

    listeners: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    checking: asyncio.Task[None] | None = None


class AccessWatch(Generic[LoginT]):
    """Asks ``holds`` every ``interval_s`` of each login in which somebody listens. ``key`` names a login."""

    def __init__(
        self,
        holds: Callable[[LoginT], Awaitable[bool]],
        key: Callable[[LoginT], Hashable],
        *,
        interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._holds = holds
        self._key = key
        self._interval_s = interval_s
        self._watched: dict[Hashable, _Watched] = {}

    async def while_it_holds(self, login: LoginT, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """``events`` as they come, up to their end or to when the login no longer holds."""
        async with self._end_of(login) as over, aclosing(_until(over, events)) as going_on:
            async for event in going_on:
                yield event

    @asynccontextmanager
    async def _end_of(self, login: LoginT) -> AsyncIterator[asyncio.Event]:
        key = self._key(login)
        watched = self._watched.get(key)
        if watched is None or watched.over.is_set():
            watched = self._watched[key] = _Watched()
            watched.checking = asyncio.create_task(self._check(login, watched.over))
        watched.listeners += 1
        try:
            yield watched.over
        finally:
            watched.listeners -= 1
            if not watched.listeners:
                if self._watched.get(key) is watched:
                    del self._watched[key]
                if watched.checking is not None:
                    watched.checking.cancel()

    async def _check(self, login: LoginT, over: asyncio.Event) -> None:
        # Whatever goes wrong here ends the streams: who comes back is judged anew.
        try:
            while not over.is_set():
                await asyncio.sleep(self._interval_s)
                try:
                    if not await self._holds(login):
                        over.set()
                except Unavailable:
                    _log.warning("logins cannot be checked at the moment")
        finally:
            over.set()


async def _until(over: asyncio.Event, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    end = asyncio.ensure_future(over.wait())
    following: asyncio.Future[Event | None] | None = None
    try:
        while not end.done():
            following = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({following, end}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() or (event := following.result()) is None:
                return
            yield event
    finally:
        end.cancel()
        if following is None or following.done():
            await events.aclose()
        else:
            # It is inside the generator, which it closes as it goes.
            following.cancel()
