"""Portfolio files on their way in: the poll that finds them, the import that takes them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import Priority, VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.imports import (
    BucketRef,
    BucketsRef,
    FinishedFile,
    ImportActivities,
    ImportRef,
    ImportSummary,
    OpenedImport,
    RefusedImport,
    StagedFile,
    StagingLost,
)
from activities.messages import AgencyRef, Message, PortfolioFile
from activities.polling import PollActivities, PollOutcome, SeenFile, SeenFiles, SourceRef
from workflows import attributes, policies, queues, scoring
from workflows.failures import cause_of

BUCKETS_AT_ONCE = 2
"""Buckets merged in parallel; each keeps one connection and one core of the database busy."""


class PollSummary(Message):
    """What a poll found: imports started, files put away because their content was known, problems."""

    started: int
    known: int
    problems: list[str]


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PortfolioPoll:
    """Looks into every inbox of an agency and starts an import for each new file content."""

    @workflow.run
    async def run(self, agency: AgencyRef) -> PollSummary:
        sources = await workflow.execute_activity_method(
            PollActivities.sources, agency, task_queue=queues.BULK, **policies.DB_READ
        )
        found = await asyncio.gather(*(self._poll(source) for source in sources))
        await self._take_up(agency)
        summary = PollSummary(
            started=sum(one.started for one in found),
            known=sum(one.known for one in found),
            problems=[problem for one in found for problem in one.problems],
        )
        workflow.set_current_details(
            f"{len(sources)} sources, {summary.started} imports started"
            + "".join(f"\n\n{problem}" for problem in summary.problems)
        )
        return summary

    async def _take_up(self, agency: AgencyRef) -> None:
        """Start what was left lying: imports and scoring whose workflow is not there (any more)."""
        for file in await workflow.execute_activity_method(
            PollActivities.stalled, agency, task_queue=queues.BULK, **policies.DB_READ
        ):
            await self._import(file)
        for import_id in await workflow.execute_activity_method(
            PollActivities.unscored, agency, task_queue=queues.BULK, **policies.DB_READ
        ):
            await scoring.start(agency.agency_id, import_id)

    async def _poll(self, source: SourceRef) -> PollSummary:
        """One source; its failure is recorded and leaves the others alone."""
        started = known = 0
        try:
            files, problems = await self._whole_files(source)
        except ActivityError as error:
            files, problems = [], [cause_of(error).message]
        for file in files:
            try:
                if await self._import(file):
                    started += 1
                else:
                    known += 1
            except ActivityError as error:
                # A file that cannot be put away must not keep the ones behind it from coming in.
                problems = [*problems, cause_of(error).message]
        await workflow.execute_activity_method(
            PollActivities.record,
            PollOutcome(
                agency_id=source.agency_id, source_id=source.source_id, problem="; ".join(problems) or None
            ),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        return PollSummary(
            started=started,
            known=known,
            problems=[f"{source.name}: {problem}" for problem in problems],
        )

    async def _whole_files(self, source: SourceRef) -> tuple[list[PortfolioFile], list[str]]:
        """The files that are complete: said so, or unchanged between two looks."""
        seen = await workflow.execute_activity_method(
            PollActivities.look, source, task_queue=queues.BULK, summary=source.name, **policies.REMOTE_FILES
        )
        files = await self._take(source, seen.complete)
        if seen.growing:
            await workflow.sleep(timedelta(seconds=seen.settle_s))
            files += await self._take(source, seen.growing)
        return files, seen.refused

    async def _take(self, source: SourceRef, seen: Sequence[SeenFile]) -> list[PortfolioFile]:
        if not seen:
            return []
        return await workflow.execute_activity_method(
            PollActivities.take,
            SeenFiles(agency_id=source.agency_id, source_id=source.source_id, files=list(seen)),
            task_queue=queues.BULK,
            summary=source.name,
            **policies.REMOTE_FILES,
        )

    async def _import(self, file: PortfolioFile) -> bool:
        """Start the import of a content; False when it was or is being imported."""
        try:
            await workflow.start_child_workflow(
                PortfolioImport.run,
                file,
                id=queues.import_workflow_id(file.agency_id, file.sha256),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=attributes.of_agency(file.agency_id),
                priority=Priority(fairness_key=str(file.agency_id)),
                static_summary=f"portfolio file of {file.size:,} bytes",
            )
        except WorkflowAlreadyStartedError:
            await workflow.execute_activity_method(
                ImportActivities.put_away_again,
                file,
                task_queue=queues.BULK,
                **policies.REMOTE_FILES,
            )
            return False
        return True


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PortfolioImport:
    """One file content: staged and judged as a whole, merged bucket by bucket, put away, scored.

    A file that is refused ends the workflow as failed, so that the same bytes may be sent again.
    """

    @workflow.run
    async def run(self, file: PortfolioFile) -> ImportSummary:
        opened = await workflow.execute_activity_method(
            ImportActivities.open, file, task_queue=queues.BULK, **policies.DB_WRITE
        )
        ref = ImportRef(agency_id=file.agency_id, import_id=opened.import_id)
        try:
            staged = await self._stage_and_merge(ref, opened)
        except ActivityError as error:
            raise await self._refuse(ref, file, cause_of(error)) from error
        summary = await workflow.execute_activity_method(
            ImportActivities.complete, ref, task_queue=queues.BULK, **policies.DB_WRITE
        )
        self._show("scoring", f"{summary.accounts_created:,} accounts placed")
        await scoring.start(ref.agency_id, ref.import_id)
        await self._index(ref, staged.buckets if staged else opened.buckets)
        await self._put_away(ref, file)
        self._show("done", f"{summary.ok:,} rows taken, {summary.errors:,} refused")
        return summary

    async def _stage_and_merge(self, ref: ImportRef, opened: OpenedImport) -> StagedFile | None:
        """Stage, then merge; staged again should a crash of the database server have emptied it."""
        if opened.status == "completed":
            return None
        while True:
            self._show("staging", "the file is read and judged")
            staged = await workflow.execute_activity_method(
                ImportActivities.stage, ref, task_queue=queues.BULK, **policies.BULK_STEP
            )
            self._show("merging", f"{staged.ok:,} rows in {staged.buckets} buckets")
            try:
                await self._merge(ref, staged.buckets)
            except ActivityError as error:
                if cause_of(error).type != StagingLost.type:
                    raise
            else:
                return staged

    async def _merge(self, ref: ImportRef, buckets: int) -> None:
        await workflow.execute_activity_method(
            ImportActivities.merge_creditors, ref, task_queue=queues.BULK, **policies.DB_WRITE
        )
        for stage in ("debtors", "accounts"):
            await self._merge_pass(ref, stage, buckets)

    async def _merge_pass(self, ref: ImportRef, stage: Literal["debtors", "accounts"], buckets: int) -> None:
        left = await workflow.execute_activity_method(
            ImportActivities.open_buckets,
            BucketsRef(agency_id=ref.agency_id, import_id=ref.import_id, stage=stage, buckets=buckets),
            task_queue=queues.BULK,
            **policies.DB_READ,
        )
        limit = asyncio.Semaphore(BUCKETS_AT_ONCE)

        async def merge(bucket: int) -> None:
            async with limit:
                await workflow.execute_activity_method(
                    ImportActivities.merge_bucket,
                    BucketRef(
                        agency_id=ref.agency_id,
                        import_id=ref.import_id,
                        stage=stage,
                        bucket=bucket,
                        buckets=buckets,
                    ),
                    task_queue=queues.BULK,
                    summary=f"{stage}, bucket {bucket + 1} of {buckets}",
                    **policies.BULK_STEP,
                )

        # All are waited for: none may be at work when staging is cleared or filled again.
        outcomes = await asyncio.gather(*(merge(bucket) for bucket in left), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _index(self, ref: ImportRef, buckets: int) -> None:
        for bucket in range(buckets):
            await workflow.execute_activity_method(
                ImportActivities.index_bucket,
                BucketRef(
                    agency_id=ref.agency_id,
                    import_id=ref.import_id,
                    stage="accounts",
                    bucket=bucket,
                    buckets=buckets,
                ),
                task_queue=queues.BULK,
                summary=f"search, bucket {bucket + 1} of {buckets}",
                **policies.BULK_STEP,
            )

    async def _put_away(self, ref: ImportRef, file: PortfolioFile) -> None:
        await workflow.execute_activity_method(
            ImportActivities.put_away,
            FinishedFile(agency_id=ref.agency_id, import_id=ref.import_id, mtime=file.mtime),
            task_queue=queues.BULK,
            **policies.REMOTE_MOVE,
        )

    async def _refuse(self, ref: ImportRef, file: PortfolioFile, cause: ApplicationError) -> ApplicationError:
        """End the import with its reason; the failure that the workflow then ends with."""
        self._show("refused", cause.message)
        reason_type = cause.type or "failed"
        await workflow.execute_activity_method(
            ImportActivities.refuse,
            RefusedImport(
                agency_id=ref.agency_id,
                import_id=ref.import_id,
                reason=cause.message,
                reason_type=reason_type,
            ),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        if not _is_left_in_inbox(reason_type):
            await self._put_away(ref, file)
        return ApplicationError(cause.message, type=reason_type, non_retryable=True)

    def _show(self, phase: str, details: str) -> None:
        workflow.upsert_search_attributes([attributes.IMPORT_PHASE.value_set(phase)])
        workflow.set_current_details(f"{phase}: {details}")


def _is_left_in_inbox(reason_type: str) -> bool:
    """Whether a reason speaks of the server, or of another file than the one now lying there.

    Then nothing is known against that one: a later poll takes it.
    """
    return reason_type == "portfolio-changed" or reason_type.startswith("sftp-")
