"""Admission: batch after batch at its rate, one at work per agency."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.admission import AdmissionRequest, Admitted, Place
from activities.messages import AgencyRef
from workflows import queues
from workflows.admission import Admission

AGENCY = AgencyRef(agency_id=UUID(int=1))
PAUSE = timedelta(minutes=1)


class Queue:
    """Accounts by rank, best first; three places are filled at once."""

    def __init__(self, clock: WorkflowEnvironment, accounts: int) -> None:
        self._clock = clock
        self.times: list[datetime] = []
        self.waiting = list(range(accounts, 0, -1))
        self.asked: list[int | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @activity.defn(name="admission.admit")
    async def admit(self, request: AdmissionRequest) -> Admitted:
        await self.gate.wait()
        self.times.append(await self._clock.get_current_time())
        self.asked.append(request.after.rank if request.after else None)
        batch = [rank for rank in self.waiting if not request.after or rank < request.after.rank][:3]
        self.waiting = [rank for rank in self.waiting if rank not in batch]
        after = Place(rank=batch[-1], account_id=UUID(int=batch[-1])) if batch else None
        return Admitted(started=len(batch), after=after, more=len(batch) == 3, pause_s=PAUSE.total_seconds())


async def begin(
    time_skipping: WorkflowEnvironment, workflow_id: str = queues.admission_workflow_id(AGENCY.agency_id)
) -> WorkflowHandle[Any, int]:
    return await time_skipping.client.start_workflow(
        Admission.run, AGENCY, id=workflow_id, task_queue=queues.LIFECYCLE
    )


async def test_batches_follow_each_other_in_order_at_the_rate(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    queue = Queue(time_skipping, 8)
    async with serving(queue):
        assert await (await begin(time_skipping)).result() == 8
    assert queue.asked == [None, 6, 3]
    pauses = [later - earlier for earlier, later in pairwise(queue.times)]
    assert all(PAUSE <= pause < PAUSE + timedelta(seconds=30) for pause in pauses)


async def test_asked_again_meanwhile_it_looks_once_more_from_the_top(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    queue = Queue(time_skipping, 2)
    queue.gate.clear()
    async with serving(queue):
        admission = await begin(time_skipping)
        await admission.signal(Admission.look_again)
        await admission.signal(Admission.look_again)
        queue.gate.set()
        assert await admission.result() == 2
    assert queue.asked == [None, None]


async def test_a_scheduled_run_never_works_beside_another(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    """A schedule appends the time to its workflow's id."""
    queue = Queue(time_skipping, 2)
    queue.gate.clear()
    scheduled = queues.admission_workflow_id(AGENCY.agency_id) + "-2026-01-01T00:00:00Z"
    async with serving(queue):
        admission = await begin(time_skipping)
        assert await (await begin(time_skipping, scheduled)).result() == 0
        assert queue.asked == []
        queue.gate.set()
        assert await admission.result() == 2
        assert queue.asked == [None, None], "the one at work was told to look again"

        assert await (await begin(time_skipping, scheduled)).result() == 0
        again = time_skipping.client.get_workflow_handle(queues.admission_workflow_id(AGENCY.agency_id))
        assert await again.result() == 0
    assert len(queue.asked) == 3
