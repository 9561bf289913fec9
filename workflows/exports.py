"""Exports: a list is written into a file, which can be had for some days."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError

from activities.exports import ExportActivities, ExportRef, ExportSummary, FailedExport
from workflows import policies, queues
from workflows.failures import cause_of


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class Export:
    """One export: written, kept for as long as its file can be had, then the file is removed.

    It waits for days, so that workers of a newer version take it over.
    """

    @workflow.run
    async def run(self, ref: ExportRef) -> ExportSummary:
        try:
            summary = await workflow.execute_activity_method(
                ExportActivities.write, ref, task_queue=queues.BULK, **policies.EXPORT
            )
        except ActivityError as error:
            raise await self._fail(ref, cause_of(error)) from error
        workflow.set_current_details(
            f"{summary.rows:,} rows written; the file is removed on {summary.expires_at:%d %b %Y %H:%M} UTC"
        )
        left = max(summary.expires_at - workflow.now(), timedelta())
        try:
            await workflow.sleep(left, summary="until the file is removed")
        except asyncio.CancelledError:
            # Nobody else would ever remove it.
            await self._remove(ref)
            raise
        await self._remove(ref)
        workflow.set_current_details(f"{summary.rows:,} rows were written; the file is removed")
        return summary

    async def _fail(self, ref: ExportRef, cause: ApplicationError) -> ApplicationError:
        """Say in the export's row why it ends; the failure that the workflow then ends with."""
        failed = FailedExport(
            agency_id=ref.agency_id,
            export_id=ref.export_id,
            reason=cause.message,
            reason_type=cause.type or "activity-failed",
        )
        await workflow.execute_activity_method(
            ExportActivities.fail, failed, task_queue=queues.BULK, **policies.DB_WRITE
        )
        await self._remove(ref)
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)

    async def _remove(self, ref: ExportRef) -> None:
        await workflow.execute_activity_method(
            ExportActivities.remove, ref, task_queue=queues.BULK, **policies.REMOTE_MOVE
        )
