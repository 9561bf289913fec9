"""Partitions are made ahead by one step, which waits for whoever changes the tables just then."""

from datetime import timedelta

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.partitions import MaintenanceRequest, PartitionsMade
from domain.errors import Unavailable
from tests.unit.workflows.conftest import Serving
from workflows import queues
from workflows.partitions import PartitionMaintenance
from workflows.schedules import INSTALLATION, Daily

MADE = PartitionsMade(made=("timeline_event_2028_05",), months_ahead=18)


class Making:
    """The step; a migration holds the tables at first."""

    def __init__(self) -> None:
        self.tries = 0

    @activity.defn(name="partitions.make")
    async def make(self, _: MaintenanceRequest) -> PartitionsMade:
        self.tries += 1
        if self.tries < 3:
            raise Unavailable("lock timeout")
        return MADE


async def test_what_was_made_is_told_once_the_tables_are_free(
    time_skipping: WorkflowEnvironment, serving: Serving
) -> None:
    making = Making()
    async with serving(making):
        handle = await time_skipping.client.start_workflow(
            PartitionMaintenance.run,
            MaintenanceRequest(),
            id=queues.PARTITION_WORKFLOW_ID,
            task_queue=queues.LIFECYCLE,
        )
        assert await handle.result() == MADE
    assert making.tries == 3


def test_it_runs_each_day_whether_or_not_there_are_agencies() -> None:
    [schedule] = INSTALLATION
    assert schedule.workflow == PartitionMaintenance.__name__
    assert schedule.agency_id is None
    assert isinstance(schedule.timing, Daily)
    assert schedule.timing.time_zone == "UTC"
    assert schedule.catch_up < timedelta(days=1)
