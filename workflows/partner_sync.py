"""Sending the accounts of high priority to a partner, batch by batch, until it has confirmed each."""

from uuid import UUID, uuid5

from temporalio import workflow
from temporalio.common import Priority, VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.partner_sync import PartnerSyncActivities
from activities.partner_sync_messages import (
    BatchRef,
    SyncEnd,
    SyncRef,
    SyncRequest,
    SyncSummary,
    UndeliveredBatch,
)
from activities.scoring import ScoringRequest, ScoringSummary
from workflows import attributes, policies, queues
from workflows.failures import cause_of

BATCHES_IN_A_HISTORY = 500
REFUSED = "partner-refused"
"""The partner will not take this batch; it may well take the next."""

_IDS = UUID("5a0f3c52-0c6d-5b5e-9d6e-2f8a1b7c4d10")


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PartnerSync:
    """One sending: what is in it is decided once; a partner that is away is tried for hours."""

    @workflow.run
    async def run(self, request: SyncRequest) -> SyncSummary:
        ref = await self._open(request)
        reason = None
        if not ref.over:
            last = min(ref.batches, request.first + BATCHES_IN_A_HISTORY - 1)
            reason = await self._deliver(ref, request.first, last)
            if reason is None and last < ref.batches:
                workflow.continue_as_new(request.model_copy(update={"first": last + 1}))
        summary = await self._finish(ref, reason)
        workflow.set_current_details(f"{summary.delivered:,} of {summary.total:,} accounts delivered")
        if summary.status != "completed":
            raise ApplicationError(
                summary.reason or "not delivered", type="not-delivered", non_retryable=True
            )
        return summary

    async def _open(self, request: SyncRequest) -> SyncRef:
        try:
            return await workflow.execute_activity_method(
                PartnerSyncActivities.open, request, task_queue=queues.BULK, **policies.BULK_STEP
            )
        except ActivityError as error:
            cause = cause_of(error)
            # Whoever asked has made the row: it must not seem to be at work.
            await self._finish(SyncRef(agency_id=request.agency_id, sync_id=request.sync_id), cause.message)
            raise ApplicationError(cause.message, type=cause.type, non_retryable=True) from error

    async def _deliver(self, ref: SyncRef, first: int, last: int) -> str | None:
        """Deliver batches in order; why the others are not even tried, None when all were."""
        for number in range(first, last + 1):
            workflow.set_current_details(f"batch {number:,} of {ref.batches:,}")
            try:
                await workflow.execute_activity_method(
                    PartnerSyncActivities.deliver,
                    BatchRef(agency_id=ref.agency_id, sync_id=ref.sync_id, number=number),
                    task_queue=queues.LIFECYCLE,
                    summary=f"batch {number}",
                    **policies.PARTNER_DELIVERY,
                )
            except ActivityError as error:
                cause = cause_of(error)
                if cause.type != REFUSED:
                    return cause.message
                await self._give_up(ref, number, cause)
        return None

    async def _give_up(self, ref: SyncRef, number: int, cause: ApplicationError) -> None:
        await workflow.execute_activity_method(
            PartnerSyncActivities.give_up,
            UndeliveredBatch(
                agency_id=ref.agency_id, sync_id=ref.sync_id, number=number, reason=cause.message
            ),
            task_queue=queues.LIFECYCLE,
            **policies.DB_WRITE,
        )

    async def _finish(self, ref: SyncRef, reason: str | None) -> SyncSummary:
        return await workflow.execute_activity_method(
            PartnerSyncActivities.finish,
            SyncEnd(agency_id=ref.agency_id, sync_id=ref.sync_id, reason=reason),
            task_queue=queues.BULK,
            **policies.BULK_STEP,
        )


async def start_all(request: ScoringRequest, summary: ScoringSummary) -> None:
    """From another workflow: send what a scoring run came to, to every partner that is to have it.

    After a run over all accounts these are all of high priority; after that of an import, of which there
    may be many a day, those that have changed. The sendings live on by themselves.
    """
    for partner_id in summary.partners:
        sync_id = uuid5(_IDS, f"{summary.run_id}/{partner_id}")
        try:
            await workflow.start_child_workflow(
                PartnerSync.run,
                SyncRequest(
                    agency_id=request.agency_id,
                    partner_id=partner_id,
                    sync_id=sync_id,
                    scoring_run_id=summary.run_id,
                    everything=request.origin != "import",
                ),
                id=queues.partner_sync_workflow_id(sync_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=attributes.of_agency(request.agency_id),
                priority=Priority(fairness_key=str(request.agency_id)),
                static_summary="accounts of high priority to a partner",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the partner is being sent them already")
