"""Records histories of exports that ``tests/replay`` replays.

``python -m pytest tests/integration/exports/record_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from typing import Any

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from sandbox.processes import until
from tests.integration.accounts.record_histories import save
from tests.unit.workflows.conftest import serving
from tests.unit.workflows.test_exports import Archive, begin

__all__ = ["serving"]


async def test_record_one_whose_file_is_removed(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    async with serving(Archive(time_skipping)):
        handle = await begin(time_skipping)
        await handle.result()
    await save(handle, "export-removed")


async def test_record_one_whose_file_is_kept(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    async with serving(Archive(time_skipping)):
        handle = await begin(time_skipping)

        async def waits() -> bool:
            history = await handle.fetch_history()
            return any(event.HasField("timer_started_event_attributes") for event in history.events)

        await until(waits, within_s=60, what="the export to wait")
    await save(handle, "export-kept")


async def test_record_one_that_came_to_nothing(time_skipping: WorkflowEnvironment, serving: Any) -> None:
    refusal = ApplicationError("no longer active", type="export-no-longer-allowed", non_retryable=True)
    async with serving(Archive(time_skipping, refusal)):
        handle = await begin(time_skipping)
        try:
            await handle.result()
        except WorkflowFailureError:
            await save(handle, "export-refused")
