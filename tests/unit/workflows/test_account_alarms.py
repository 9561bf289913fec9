"""Deadlines come on their time, whatever happens to the others."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from domain.deadlines import Deadline, DeadlineKind
from tests.unit.workflows.bell import Bell
from workers.sandbox import workflow_runner
from workflows import queues

K = DeadlineKind
HOUR = timedelta(hours=1)
PROMPT = timedelta(minutes=1)


@dataclass
class Clock:
    """A bell, and hours since it was made."""

    env: WorkflowEnvironment
    bell: WorkflowHandle[Any, Any]
    began: datetime

    def at(self, hour: float, kind: DeadlineKind = K.FOLLOW_UP, subject: UUID | None = None) -> Deadline:
        return Deadline(kind=kind, at=self.began + hour * HOUR, subject_id=subject)

    async def wait_for(self, *deadlines: Deadline) -> None:
        await self.bell.execute_update(Bell.wait_for, list(deadlines))

    async def until(self, hour: float) -> None:
        await self.env.sleep(self.began + hour * HOUR - await self.env.get_current_time())

    async def rung(self) -> Sequence[Deadline]:
        """What rang, in order; each at its time, or at once when it was over already."""
        told: list[tuple[Deadline, datetime]] = await self.bell.query(Bell.rung)
        assert all(at >= deadline.at for deadline, at in told)
        return [deadline for deadline, _ in told]

    async def timers(self) -> tuple[int, int]:
        """How many were started and cancelled."""
        events = (await self.bell.fetch_history()).events
        started = sum(event.HasField("timer_started_event_attributes") for event in events)
        return started, sum(event.HasField("timer_canceled_event_attributes") for event in events)


@pytest.fixture
async def clock(time_skipping: WorkflowEnvironment) -> AsyncIterator[Clock]:
    async with Worker(
        time_skipping.client,
        task_queue=queues.LIFECYCLE,
        workflows=[Bell],
        workflow_runner=workflow_runner(),
    ):
        bell = await time_skipping.client.start_workflow(
            Bell.run, id=f"bell/{uuid4()}", task_queue=queues.LIFECYCLE
        )
        yield Clock(time_skipping, bell, await time_skipping.get_current_time())
        await bell.terminate()


async def test_one_that_is_put_off_keeps_its_timer(clock: Clock) -> None:
    for hour in range(10, 30):
        await clock.wait_for(clock.at(hour))
    assert await clock.timers() == (1, 0)
    await clock.until(28.5)
    assert await clock.rung() == []
    assert await clock.timers() == (2, 0)
    await clock.until(29.5)
    assert await clock.rung() == [clock.at(29)]


async def test_one_that_comes_earlier_rings_earlier(clock: Clock) -> None:
    await clock.wait_for(clock.at(10))
    await clock.wait_for(clock.at(5))
    await clock.until(6)
    assert await clock.rung() == [clock.at(5)]
    await clock.until(12)
    assert await clock.rung() == [clock.at(5)]
    assert await clock.timers() == (2, 1)


async def test_one_that_is_over_already_rings_at_once(clock: Clock) -> None:
    await clock.wait_for(clock.at(-5))
    assert await clock.rung() == [clock.at(-5)]
    assert await clock.timers() == (0, 0)


async def test_one_that_rang_and_is_still_there_does_not_ring_again_until_it_changes(clock: Clock) -> None:
    await clock.wait_for(clock.at(1))
    await clock.until(2)
    await clock.wait_for(clock.at(1))
    assert await clock.rung() == [clock.at(1)]
    await clock.wait_for()
    await clock.wait_for(clock.at(1))
    assert await clock.rung() == [clock.at(1), clock.at(1)]
    await clock.wait_for(clock.at(3))
    await clock.until(4)
    assert (await clock.rung())[2:] == [clock.at(3)]


async def test_one_that_is_gone_does_not_ring(clock: Clock) -> None:
    kept, gone = clock.at(2, K.OFFER_EXPIRY, UUID(int=1)), clock.at(2, K.PROMISE_DUE, UUID(int=2))
    await clock.wait_for(kept, gone)
    await clock.wait_for(kept)
    await clock.until(3)
    assert await clock.rung() == [kept]


async def test_two_of_a_kind_are_two(clock: Clock) -> None:
    first, second = (clock.at(hour, K.HOLD_END, UUID(int=hour)) for hour in (1, 2))
    await clock.wait_for(second, first)
    await clock.until(1.5)
    assert await clock.rung() == [first]
    await clock.wait_for(second)
    await clock.until(2.5)
    assert await clock.rung() == [first, second]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_changes_each_rings_on_its_own_time(clock: Clock, seed: int) -> None:
    """Deadlines come, go and move at random; a list in memory says which of them must ring."""
    draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    waiting: dict[DeadlineKind, Deadline] = {}
    expected: list[Deadline] = []
    for step in range(40):
        kind = draw.choice(list(K))
        if draw.random() < 0.3:
            waiting.pop(kind, None)
        else:
            # At half past, changes are at the full hour: nothing happens at the same moment.
            waiting[kind] = clock.at(step * 10 + draw.randrange(1, 60) + 0.5, kind, UUID(int=step))
        await clock.wait_for(*waiting.values())
        await clock.until((step + 1) * 10)
        rung = [d for d in waiting.values() if d.at <= clock.at((step + 1) * 10).at]
        expected += sorted(rung, key=lambda deadline: deadline.at)
        waiting = {kind: deadline for kind, deadline in waiting.items() if deadline not in rung}
    found = await clock.rung()
    assert {d.name for d in found} == {d.name for d in expected}
    assert [d.at for d in found] == [d.at for d in expected]
    assert len(expected) > 10
