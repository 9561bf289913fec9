"""The deadlines of one account, each with a durable timer of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from uuid import UUID

from temporalio import workflow

from domain.deadlines import Deadline, DeadlineKind

Key = tuple[DeadlineKind, UUID | None]


class Alarms:
    """Rings when a deadline has come. Setting one never disturbs another.

    A deadline that moves away keeps its timer, which is prolonged when it fires: most accounts are touched
    far more often than they are left alone for a month.
    """

    def __init__(self, ring: Callable[[Deadline], Awaitable[None]]) -> None:
        self._ring = ring
        self._wanted: dict[Key, Deadline] = {}
        self._asleep: dict[Key, tuple[Deadline, asyncio.Task[None]]] = {}
        self._rung: dict[Key, Deadline] = {}

    def set(self, deadlines: Iterable[Deadline]) -> None:
        """These and no others are waited for from now on."""
        self._wanted = {(deadline.kind, deadline.subject_id): deadline for deadline in deadlines}
        self._rung = {key: rung for key, rung in self._rung.items() if self._wanted.get(key) == rung}
        for key, (set_for, task) in list(self._asleep.items()):
            wanted = self._wanted.get(key)
            if wanted is None or wanted.at < set_for.at:
                del self._asleep[key]
                task.cancel()
        for key, deadline in self._wanted.items():
            if key not in self._asleep and key not in self._rung:
                self._asleep[key] = (deadline, asyncio.create_task(self._wait(key, deadline)))

    async def _wait(self, key: Key, deadline: Deadline) -> None:
        left = deadline.at - workflow.now()
        if left > timedelta(0):
            await workflow.sleep(left, summary=deadline.kind.value)
        del self._asleep[key]
        wanted = self._wanted.get(key)
        if wanted is None:
            return
        if wanted.at > workflow.now():
            self._asleep[key] = (wanted, asyncio.create_task(self._wait(key, wanted)))
            return
        # One that has rung and is still there is not rung for again, until it changes.
        self._rung[key] = wanted
        await self._ring(wanted)
