"""Floors: workflows whose activities and updates do nothing."""

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


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class BareSteps:
    """As many activities as another workflow has, one after the other."""

    @workflow.run
    async def run(self, steps: int) -> None:
        for _ in range(steps):
            await workflow.execute_activity(
                nothing, task_queue=QUEUE, start_to_close_timeout=timedelta(seconds=15)
            )


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class BareEntity:
    """Lives until it is terminated, and takes updates."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def nothing(self) -> None:
        """Do nothing, and say so."""
