"""Whether sessions still hold while pages of theirs listen: asked once for all that listen in one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from domain.errors import Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from services.access import Principal
    from services.sessions import Visitor

CHECK_INTERVAL_S = 3.0
_log = structlog.stdlib.get_logger("sessions")


@dataclass(slots=True)
class _Watched:
    """One session with those who listen in it; ``over`` is set once it no longer holds."""

    listeners: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    checking: asyncio.Task[None] | None = None


class SessionWatch:
    """Asks ``holds`` every ``interval_s`` of each session in which somebody listens."""

    def __init__(
        self, holds: "Callable[[Visitor], Awaitable[bool]]", *, interval_s: float = CHECK_INTERVAL_S
    ) -> None:
        self._holds = holds
        self._interval_s = interval_s
        self._watched: dict[tuple[UUID, Principal], _Watched] = {}

    @asynccontextmanager
    async def end_of(self, visitor: "Visitor") -> AsyncIterator[asyncio.Event]:
        """Set once the visitor's session has ended, or they may no longer what they might when it was asked
        for."""
        key = (visitor.session.id, replace(visitor.who, ip=None))
        watched = self._watched.get(key)
        if watched is None or watched.over.is_set():
            watched = self._watched[key] = _Watched()
            watched.checking = asyncio.create_task(self._check(visitor, watched.over))
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

    async def _check(self, visitor: "Visitor", over: asyncio.Event) -> None:
        # Whatever goes wrong here ends the streams: who comes back is judged anew.
        try:
            while not over.is_set():
                await asyncio.sleep(self._interval_s)
                try:
                    if not await self._holds(visitor):
                        over.set()
                except Unavailable:
                    _log.warning("sessions cannot be checked at the moment")
        finally:
            over.set()
