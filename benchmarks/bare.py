"""The floor of an admission: a workflow that runs one activity which does nothing, then waits on a timer."""

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import VersioningBehavior

QUEUE = "bare"


@activity.defn(name="bare.nothing")
async def nothing() -> None:
    """Do nothing, as quickly as an activity can."""


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class Bare:
    """As many activities and timers as an ``AccountLifecycle`` has when it is admitted."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            nothing, task_queue=QUEUE, start_to_close_timeout=timedelta(seconds=15)
        )
        await workflow.sleep(timedelta(days=30))
