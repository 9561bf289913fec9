"""The sandbox is on for every workflow, however sparingly it is entered."""

from datetime import datetime

import pytest
from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from workers.sandbox import workflow_runner


@workflow.defn(failure_exception_types=[Exception])
class AsksTheClock:
    """Does what no workflow may: its replay would know another time."""

    @workflow.run
    async def run(self) -> str:
        return datetime.now().isoformat()  # noqa: DTZ005 - it is refused


async def test_what_a_workflow_must_not_do_is_refused(time_skipping: WorkflowEnvironment) -> None:
    async with Worker(
        time_skipping.client, task_queue="here", workflows=[AsksTheClock], workflow_runner=workflow_runner()
    ):
        with pytest.raises(WorkflowFailureError) as failure:
            await time_skipping.client.execute_workflow(AsksTheClock.run, id="asks", task_queue="here")
    assert isinstance(failure.value.cause, ApplicationError)
    assert "datetime.datetime.now" in failure.value.cause.message
