"""Reconciliation with a partner: its statements are staged, matched set-based, and differences kept."""

from uuid import UUID

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError

from activities.partner_messages import MatchFigures
from activities.partner_run_messages import (
    FailedPartnerRun,
    PartnerReconciliationRequest,
    PartnerReconciliationSummary,
    PartnerRunConclusion,
    PartnerRunRef,
)
from activities.partner_runs import PartnerRunActivities
from workflows import policies, queues
from workflows.failures import cause_of


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PartnerReconciliation:
    """One comparison of a partner's records with ours; the run's row says how far it is.

    What is found is written by its steps, each safe to repeat; the workflow knows counts only.
    """

    @workflow.run
    async def run(self, request: PartnerReconciliationRequest) -> PartnerReconciliationSummary | None:
        """What the run came to; None for a scheduled one that was left out."""
        ref = await self._begin(request)
        if ref is None:
            workflow.set_current_details("left out: another reconciliation is going, or the partner rests")
            return None
        try:
            summary = await workflow.execute_activity_method(
                PartnerRunActivities.conclude,
                PartnerRunConclusion(run=ref, figures=MatchFigures()),
                task_queue=queues.BULK,
                **policies.BULK_STEP,
            )
        except ActivityError as error:
            raise await self._fail(ref.agency_id, ref.run_id, cause_of(error)) from error
        _show(summary)
        return summary

    async def _begin(self, request: PartnerReconciliationRequest) -> PartnerRunRef | None:
        try:
            return await workflow.execute_activity_method(
                PartnerRunActivities.begin, request, task_queue=queues.BULK, **policies.DB_WRITE
            )
        except ActivityError as error:
            if request.run_id is None:
                raise
            # Whoever asked has made the row: it must not seem to be at work.
            raise await self._fail(request.agency_id, request.run_id, cause_of(error)) from error

    async def _fail(self, agency_id: UUID, run_id: UUID, cause: ApplicationError) -> ApplicationError:
        """Say in the run's row why it ends; the failure that the workflow then ends with."""
        await workflow.execute_activity_method(
            PartnerRunActivities.fail,
            FailedPartnerRun(agency_id=agency_id, run_id=run_id, reason=cause.message),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)


def _show(summary: PartnerReconciliationSummary) -> None:
    workflow.set_current_details(
        f"{summary.matched:,} of {summary.lines:,} lines matched, {summary.breaks:,} breaks,"
        f" {summary.resolved:,} resolved by rules, {summary.cured:,} cured"
    )
