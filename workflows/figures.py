"""Figures are counted ahead of whoever looks at them."""

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.figures import FigureActivities, FiguresRequest, RefreshedFigures
from workflows import policies, queues


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class FiguresRefresh:
    """Counts an agency's figures anew."""

    @workflow.run
    async def run(self, request: FiguresRequest) -> RefreshedFigures:
        """Returns since when they hold."""
        refreshed = await workflow.execute_activity_method(
            FigureActivities.refresh, request, task_queue=queues.BULK, **policies.FIGURES
        )
        since = "being counted by somebody else" if refreshed.as_of is None else f"as of {refreshed.as_of}"
        workflow.set_current_details(since)
        return refreshed
