"""An export: written once, its file removed when its time is over or when it came to nothing."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment

from activities.exports import ExportRef, ExportSummary, FailedExport
from workflows import queues
from workflows.exports import Export

AGENCY, EXPORT = UUID(int=1), UUID(int=3)
KEPT = timedelta(days=7)


class Archive:
    """Files as they are written and removed; ``refusal`` is what writing one fails with."""

    def __init__(self, clock: WorkflowEnvironment, refusal: ApplicationError | None = None) -> None:
        self.clock = clock
        self.refusal = refusal
        self.kept = KEPT
        self.steps: list[str] = []
        self.at: list[datetime] = []
        self.reasons: list[tuple[str, str]] = []

    @activity.defn(name="exports.write")
    async def write(self, ref: ExportRef) -> ExportSummary:
        self.steps.append("write")
        self.at.append(activity.info().started_time)
        if self.refusal is not None:
            raise self.refusal
        expires_at = await self.clock.get_current_time() + self.kept
        return ExportSummary(export_id=ref.export_id, rows=3, size=99, expires_at=expires_at)

    @activity.defn(name="exports.fail")
    async def fail(self, failed: FailedExport) -> None:
        self.steps.append("fail")
        self.reasons.append((failed.reason, failed.reason_type))

    @activity.defn(name="exports.remove")
    async def remove(self, ref: ExportRef) -> None:
        self.steps.append("remove")
        self.at.append(activity.info().started_time)


async def begin(clock: WorkflowEnvironment) -> WorkflowHandle[Any, ExportSummary]:
    return await clock.client.start_workflow(
        Export.run,
        ExportRef(agency_id=AGENCY, export_id=EXPORT),
        id=queues.export_workflow_id(EXPORT),
        task_queue=queues.LIFECYCLE,
    )


async def test_a_file_is_removed_when_its_time_is_over(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    archive = Archive(time_skipping)
    async with serving(archive):
        summary = await (await begin(time_skipping)).result()
    assert (summary.rows, summary.size) == (3, 99)
    assert archive.steps == ["write", "remove"]
    written, removed = archive.at
    assert KEPT <= removed - written < KEPT + timedelta(hours=1)


async def test_no_file_outlives_an_export_that_somebody_cancels(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    archive = Archive(time_skipping)
    async with serving(archive):
        export = await begin(time_skipping)
        await time_skipping.sleep(timedelta(hours=1))
        await export.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await export.result()
    assert is_cancelled_exception(failed.value.cause)
    assert archive.steps == ["write", "remove"]


async def test_a_time_that_is_over_already_is_not_waited_for(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    archive = Archive(time_skipping)
    archive.kept = timedelta(seconds=-5)
    async with serving(archive):
        await (await begin(time_skipping)).result()
    assert archive.steps == ["write", "remove"]


async def test_an_export_that_cannot_be_written_says_why_and_leaves_no_file(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    refusal = ApplicationError("no longer active", type="export-no-longer-allowed", non_retryable=True)
    archive = Archive(time_skipping, refusal)
    async with serving(archive):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await begin(time_skipping)).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "export-no-longer-allowed"
    assert archive.reasons == [("no longer active", "export-no-longer-allowed")]
    assert archive.steps == ["write", "fail", "remove"]
