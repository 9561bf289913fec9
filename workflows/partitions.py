"""Tables that are kept by month have their partitions before the month begins."""

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.partitions import MaintenanceRequest, PartitionActivities, PartitionsMade
from workflows import policies, queues


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PartitionMaintenance:
    """Makes partitions for the months ahead."""

    @workflow.run
    async def run(self, request: MaintenanceRequest) -> PartitionsMade:
        """Returns what was made, which is nothing on most days."""
        done = await workflow.execute_activity_method(
            PartitionActivities.make, request, task_queue=queues.LIFECYCLE, **policies.PARTITIONS
        )
        made = "\n".join(f"- {name}" for name in done.made) or "nothing was missing"
        workflow.set_current_details(f"{done.months_ahead} months ahead\n\n{made}")
        return done
