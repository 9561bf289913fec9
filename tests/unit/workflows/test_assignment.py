"""A run of automatic assignment: chunk after chunk, one at a time, its end."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.assignment import (
    AssignedChunk,
    AssignmentRef,
    AssignmentRequest,
    AssignmentSummary,
    FailedAssignment,
)
from workflows import queues
from workflows.assignment import CHUNKS_IN_A_HISTORY, AutoAssignment

AGENCY, RUN = UUID(int=1), UUID(int=3)


class Desks:
    """Collectors with room for some chunks."""

    def __init__(self) -> None:
        self.chunks = 3
        self.over = False
        self.broken = False
        self.begun: list[UUID | None] = []
        self.given = 0
        self.failed: list[str] = []
        self.gate: asyncio.Event | None = None

    @activity.defn(name="assignment.begin")
    async def begin(self, request: AssignmentRequest) -> AssignmentRef:
        self.begun.append(request.run_id)
        return AssignmentRef(agency_id=request.agency_id, run_id=RUN, over=self.over)

    @activity.defn(name="assignment.assign_chunk")
    async def assign_chunk(self, ref: AssignmentRef) -> AssignedChunk:
        if self.broken:
            raise ApplicationError("the scorecard is gone", type="conflict", non_retryable=True)
        if self.gate is not None:
            await self.gate.wait()
        self.given += 1
        return AssignedChunk(assigned=10, more=self.given < self.chunks)

    @activity.defn(name="assignment.finish")
    async def finish(self, ref: AssignmentRef) -> AssignmentSummary:
        return AssignmentSummary(
            run_id=ref.run_id, status="completed", assigned=10 * self.given, left_over=4, collectors=2
        )

    @activity.defn(name="assignment.fail")
    async def fail(self, failed: FailedAssignment) -> None:
        self.failed.append(failed.reason)


async def begin(
    clock: WorkflowEnvironment, workflow_id: str = queues.assignment_workflow_id(AGENCY)
) -> WorkflowHandle[Any, AssignmentSummary | None]:
    return await clock.client.start_workflow(
        AutoAssignment.run,
        AssignmentRequest(agency_id=AGENCY),
        id=workflow_id,
        task_queue=queues.LIFECYCLE,
    )


async def test_a_run_goes_on_until_there_is_no_more_room(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    desks = Desks()
    async with serving(desks):
        summary = await (await begin(time_skipping)).result()
    assert summary is not None
    assert (summary.assigned, summary.left_over, summary.collectors) == (30, 4, 2)
    assert (desks.begun, desks.given, desks.failed) == ([None], 3, [])


async def test_a_run_that_cannot_go_on_says_why(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    desks = Desks()
    desks.broken = True
    async with serving(desks):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await begin(time_skipping)).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "conflict"
    assert desks.failed == ["the scorecard is gone"]


async def test_a_run_that_is_over_assigns_nothing(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    desks = Desks()
    desks.over = True
    async with serving(desks):
        await (await begin(time_skipping)).result()
    assert desks.given == 0


async def test_a_scheduled_start_beside_a_run_starts_no_other(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    desks = Desks()
    desks.gate = asyncio.Event()
    async with serving(desks):
        the_run = await begin(time_skipping)
        scheduled = await begin(time_skipping, f"{queues.daily_assignment_workflow_id(AGENCY)}-2026")
        assert await scheduled.result() is None
        desks.gate.set()
        summary = await the_run.result()
    assert summary is not None
    assert (len(desks.begun), summary.assigned) == (1, 30)


async def test_a_scheduled_start_runs(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    desks = Desks()
    async with serving(desks):
        started = await begin(time_skipping, f"{queues.daily_assignment_workflow_id(AGENCY)}-2026")
        assert await started.result() is None
        run = time_skipping.client.get_workflow_handle(queues.assignment_workflow_id(AGENCY))
        await run.result()
    assert (len(desks.begun), desks.given) == (1, 3)


async def test_a_run_of_very_many_chunks_goes_on_in_a_new_history(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    desks = Desks()
    desks.chunks = CHUNKS_IN_A_HISTORY + 2
    async with serving(desks):
        started = await begin(time_skipping)
        summary = await started.result()
        first = await time_skipping.client.get_workflow_handle(
            started.id, run_id=started.first_execution_run_id
        ).describe()
    assert summary is not None
    assert desks.given == desks.chunks
    assert first.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert desks.begun == [None, RUN], "the second goes on with the run of the first"
