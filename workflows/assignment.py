"""Automatic assignment: the accounts of an agency that nobody works are spread over its collectors."""

from temporalio import workflow
from temporalio.common import Priority, VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.assignment import (
    AssignmentActivities,
    AssignmentRef,
    AssignmentRequest,
    AssignmentSummary,
    FailedAssignment,
)
from workflows import attributes, policies, queues
from workflows.failures import cause_of

CHUNKS_IN_A_HISTORY = 1_000
"""After so many chunks the workflow goes on in a new history."""


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class AutoAssignment:
    """One run: chunk by chunk, until no collector has room or no account waits.

    There is one at work per agency.
    """

    @workflow.run
    async def run(self, request: AssignmentRequest) -> AssignmentSummary | None:
        """What the run came to; None for a scheduled start, which only sees to it that one is at work.

        A schedule appends the time to the ids of its runs, so that two could be at work.
        """
        if workflow.info().workflow_id != queues.assignment_workflow_id(request.agency_id):
            await _start(request)
            return None
        ref = await workflow.execute_activity_method(
            AssignmentActivities.begin, request, task_queue=queues.BULK, **policies.DB_WRITE
        )
        try:
            if not ref.over:
                await self._assign(ref, request)
            summary = await workflow.execute_activity_method(
                AssignmentActivities.finish, ref, task_queue=queues.BULK, **policies.BULK_STEP
            )
        except ActivityError as error:
            raise await self._fail(ref, cause_of(error)) from error
        workflow.set_current_details(
            f"{summary.assigned:,} accounts assigned to {summary.collectors:,} collectors,"
            f" {summary.left_over:,} left over"
        )
        return summary

    async def _assign(self, ref: AssignmentRef, request: AssignmentRequest) -> None:
        assigned = 0
        for _ in range(CHUNKS_IN_A_HISTORY):
            chunk = await workflow.execute_activity_method(
                AssignmentActivities.assign_chunk, ref, task_queue=queues.BULK, **policies.BULK_STEP
            )
            assigned += chunk.assigned
            workflow.set_current_details(f"{assigned:,} accounts assigned")
            if not chunk.more:
                return
        workflow.continue_as_new(request.model_copy(update={"run_id": ref.run_id}))

    async def _fail(self, ref: AssignmentRef, cause: ApplicationError) -> ApplicationError:
        """Say in the run's row why it ends; the failure that the workflow then ends with."""
        await workflow.execute_activity_method(
            AssignmentActivities.fail,
            FailedAssignment(agency_id=ref.agency_id, run_id=ref.run_id, reason=cause.message),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)


async def _start(request: AssignmentRequest) -> None:
    """Start the one run of the agency, unless it is at work."""
    try:
        await workflow.start_child_workflow(
            AutoAssignment.run,
            request,
            id=queues.assignment_workflow_id(request.agency_id),
            task_queue=queues.LIFECYCLE,
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=attributes.of_agency(request.agency_id),
            priority=Priority(fairness_key=str(request.agency_id)),
            static_summary="assignment of accounts to collectors",
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("an assignment of the agency is at work already")
