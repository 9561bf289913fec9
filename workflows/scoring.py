"""Scoring: all accounts of an agency or those that an import touched, then admitting the best."""

import asyncio
from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import Priority, VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

from activities.messages import AgencyRef
from activities.scoring import (
    ChunkRef,
    FailedRun,
    ScoringActivities,
    ScoringRef,
    ScoringRequest,
    ScoringSummary,
)
from workflows import admitting, attributes, partner_sync, policies, queues
from workflows.failures import CANCELLED, cause_of

CHUNKS_AT_ONCE = 2
CHUNKS_IN_A_HISTORY = 1_000
"""After so many chunks the workflow goes on in a new history: each adds some six events, and Temporal ends
a workflow that has more than 51,200."""

TURN_POLL = timedelta(seconds=5)


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PortfolioScoring:
    """One scoring run: waits for the agency's turn, scores chunk by chunk, starts the admission."""

    @workflow.run
    async def run(self, request: ScoringRequest) -> ScoringSummary:
        ref = await self._open(request)
        try:
            if not ref.over:
                await self._wait_for_turn(ref, request)
                await self._score(ref, request)
            summary = await workflow.execute_activity_method(
                ScoringActivities.finish, ref, task_queue=queues.BULK, **policies.BULK_STEP
            )
        except ActivityError as error:
            failure = await self._fail(ref, cause_of(error))
            if is_cancelled_exception(error):
                raise
            raise failure from error
        except asyncio.CancelledError:
            await self._fail(ref, ApplicationError(CANCELLED))
            raise
        workflow.set_current_details(f"{summary.scored:,} accounts scored, {summary.changed:,} changed")
        await admitting.start(AgencyRef(agency_id=request.agency_id))
        await partner_sync.start_all(request, summary)
        return summary

    async def _open(self, request: ScoringRequest) -> ScoringRef:
        try:
            return await workflow.execute_activity_method(
                ScoringActivities.open, request, task_queue=queues.BULK, **policies.DB_WRITE
            )
        except ActivityError as error:
            if request.run_id is None:
                raise
            # Whoever asked has made the row: it must not seem to be at work.
            ref = ScoringRef(agency_id=request.agency_id, run_id=request.run_id)
            raise await self._fail(ref, cause_of(error)) from error

    async def _wait_for_turn(self, ref: ScoringRef, request: ScoringRequest) -> None:
        while not await workflow.execute_activity_method(
            ScoringActivities.begin, ref, task_queue=queues.BULK, **policies.DB_WRITE
        ):
            workflow.set_current_details("waits for another scoring run of the agency")
            await workflow.sleep(TURN_POLL)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request.model_copy(update={"run_id": ref.run_id}))

    async def _fail(self, ref: ScoringRef, cause: ApplicationError) -> ApplicationError:
        """Give the turn back; the failure that the workflow then ends with."""
        await workflow.execute_activity_method(
            ScoringActivities.fail,
            FailedRun(agency_id=ref.agency_id, run_id=ref.run_id, reason=cause.message),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)

    async def _score(self, ref: ScoringRef, request: ScoringRequest) -> None:
        chunks = await workflow.execute_activity_method(
            ScoringActivities.open_chunks, ref, task_queue=queues.BULK, **policies.BULK_STEP
        )
        limit = asyncio.Semaphore(CHUNKS_AT_ONCE)

        async def score(chunk: int) -> None:
            async with limit:
                await workflow.execute_activity_method(
                    ScoringActivities.score_chunk,
                    ChunkRef(agency_id=ref.agency_id, run_id=ref.run_id, chunk=chunk),
                    task_queue=queues.BULK,
                    summary=f"chunk {chunk}",
                    **policies.BULK_STEP,
                )

        await asyncio.gather(*(score(chunk) for chunk in chunks[:CHUNKS_IN_A_HISTORY]))
        if len(chunks) > CHUNKS_IN_A_HISTORY:
            workflow.continue_as_new(request.model_copy(update={"run_id": ref.run_id}))


async def start(agency_id: UUID, import_id: UUID) -> None:
    """From another workflow: score the accounts of an import, unless that is being done or was.

    Scoring lives on by itself; it has the accounts of the import on record.
    """
    request = ScoringRequest(agency_id=agency_id, origin="import", import_id=import_id)
    try:
        await workflow.start_child_workflow(
            PortfolioScoring.run,
            request,
            id=queues.scoring_workflow_id(import_id),
            task_queue=queues.LIFECYCLE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=attributes.of_agency(agency_id),
            priority=Priority(fairness_key=str(agency_id)),
            static_summary="scoring after an import",
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("the import's accounts are being scored already")
