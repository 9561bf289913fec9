"""Reconciliation with a partner: its statements are staged, matched set-based, and differences kept."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.break_cases import BreakCaseActivities
from activities.break_messages import NewsOfBreaks
from activities.partner_matching import PartnerMatchingActivities
from activities.partner_run_messages import (
    CollectedStatements,
    FailedPartnerRun,
    PartnerReconciliationRequest,
    PartnerReconciliationSummary,
    PartnerRunConclusion,
    PartnerRunRef,
)
from activities.partner_runs import PartnerRunActivities
from activities.statement_files import StatementActivities
from activities.statement_messages import StagedStatement, StatementFile
from workflows import policies, queues
from workflows.failures import CANCELLED, cause_of


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PartnerReconciliation:
    """One comparison of a partner's records with ours; the run's row says how far it is.

    What is found is written by its steps, each safe to repeat; the workflow knows counts only. A run that
    cannot go on gives its statements to the next one.
    """

    def __init__(self) -> None:
        self._problems: list[str] = []

    @workflow.run
    async def run(self, request: PartnerReconciliationRequest) -> PartnerReconciliationSummary | None:
        """What the run came to; None for a scheduled one that was left out."""
        if request.run_id is None:
            request = request.model_copy(update={"run_id": workflow.uuid4()})
        try:
            summary = await self._carry_out(request)
        except ActivityError as error:
            if is_cancelled_exception(error):
                await self._fail(request, CANCELLED)
                raise
            cause = cause_of(error)
            await self._fail(request, cause.message)
            raise ApplicationError(cause.message, type=cause.type, non_retryable=True) from error
        except asyncio.CancelledError:
            await self._fail(request, CANCELLED)
            raise
        told = "left out: another run is going, or the partner is not active"
        workflow.set_current_details("\n\n".join([_told(summary) if summary else told, *self._problems]))
        return summary

    async def _carry_out(self, request: PartnerReconciliationRequest) -> PartnerReconciliationSummary | None:
        ref = await workflow.execute_activity_method(
            PartnerRunActivities.begin, request, task_queue=queues.BULK, **policies.DB_WRITE
        )
        if ref is None:
            return None
        summary = await self._compare(ref)
        if not (ref.over or ref.dry_run):
            await self._follow(ref)
        return summary

    async def _compare(self, ref: PartnerRunRef) -> PartnerReconciliationSummary:
        if not ref.over:
            whole = await self._collect(ref) if ref.scope == "full" else True
            closed = await workflow.execute_activity_method(
                PartnerRunActivities.close,
                CollectedStatements(run=ref, whole=whole),
                task_queue=queues.BULK,
                **policies.BULK_STEP,
            )
            workflow.set_current_details(f"matching {closed.lines:,} lines")
            await workflow.execute_activity_method(
                PartnerMatchingActivities.match, ref, task_queue=queues.BULK, **policies.BULK_STEP
            )
        return await workflow.execute_activity_method(
            PartnerRunActivities.conclude,
            PartnerRunConclusion(run=ref, problems=self._problems),
            task_queue=queues.BULK,
            **policies.BULK_STEP,
        )

    async def _collect(self, ref: PartnerRunRef) -> bool:
        """Stage the files in the partner's folder that look the same a little later; whether it took all."""
        workflow.set_current_details("looking for statements")
        seen = await workflow.execute_activity_method(
            StatementActivities.look, ref, task_queue=queues.BULK, **policies.REMOTE_FILES
        )
        self._problems += seen.problems
        if seen.files:
            await workflow.sleep(timedelta(seconds=seen.settle_s))
        whole = seen.whole
        for number, file in enumerate(seen.files, start=1):
            workflow.set_current_details(f"staging statement {number} of {len(seen.files)}")
            staged = await workflow.execute_activity_method(
                StatementActivities.stage,
                file,
                task_queue=queues.BULK,
                summary=f"statement of {file.size:,} bytes",
                **policies.BULK_STEP,
            )
            whole = whole and staged.state in {"staged", "known"}
            self._problems += _problems(file, staged)
        if not whole:
            self._problems.append("as not every file could be taken, nothing was called missing there")
        return whole

    async def _follow(self, ref: PartnerRunRef) -> None:
        """Have cases told what is new about their breaks, and finished files put away.

        A file that cannot be moved now is moved by the next run.
        """
        await workflow.execute_activity_method(
            BreakCaseActivities.follow,
            NewsOfBreaks(agency_id=ref.agency_id, partner_id=ref.partner_id, run_id=ref.run_id),
            task_queue=queues.LIFECYCLE,
            **policies.ADMISSION,
        )
        if ref.scope != "full":
            return
        try:
            away = await workflow.execute_activity_method(
                StatementActivities.put_away, ref, task_queue=queues.BULK, **policies.REMOTE_FILES
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._problems.append(cause_of(error).message)
        else:
            self._problems += away.problems

    async def _fail(self, request: PartnerReconciliationRequest, reason: str) -> None:
        """Say in the run's row, if there is one, why it ends: whoever asked has made it before."""
        await workflow.execute_activity_method(
            PartnerRunActivities.fail,
            FailedPartnerRun(request=request, reason=reason),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )


def _problems(file: StatementFile, staged: StagedStatement) -> Sequence[str]:
    """What people should know of a file, in words."""
    if staged.state == "changed":
        return [f"{file.name}: it was still being written; the next run takes it"]
    if staged.state == "known":
        return [f"{file.name}: its content came before and changes nothing", *_reasons(file, staged)]
    return _reasons(file, staged)


def _reasons(file: StatementFile, staged: StagedStatement) -> Sequence[str]:
    return [f"{file.name}: {staged.reason}"] if staged.reason else []


def _told(summary: PartnerReconciliationSummary) -> str:
    return (
        f"{summary.matched:,} of {summary.lines:,} lines matched, {summary.breaks:,} breaks,"
        f" {summary.resolved:,} resolved by rules, {summary.cured:,} cured"
    )
