"""Figures are counted by one step, which is tried again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.figures import FiguresRequest, RefreshedFigures
from domain.errors import Unavailable
from workflows import queues
from workflows.figures import FiguresRefresh

AT = datetime(2026, 11, 22, tzinfo=UTC)


class Counting:
    """The step; the database is away at first."""

    def __init__(self) -> None:
        self.asked: list[FiguresRequest] = []

    @activity.defn(name="figures.refresh")
    async def refresh(self, request: FiguresRequest) -> RefreshedFigures:
        self.asked.append(request)
        if len(self.asked) == 1:
            raise Unavailable("away")
        return RefreshedFigures(as_of=AT)


async def test_figures_are_counted_once_the_database_answers(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    counting, request = Counting(), FiguresRequest(agency_id=UUID(int=1), if_changed=True)
    async with serving(counting):
        refreshed = await time_skipping.client.execute_workflow(
            FiguresRefresh.run,
            request,
            id=queues.figures_workflow_id(request.agency_id),
            task_queue=queues.LIFECYCLE,
        )
    assert refreshed == RefreshedFigures(as_of=AT)
    assert counting.asked == [request, request]
