"""Records histories of figures and of partitions that ``tests/replay`` replays, from a real run.

``python -m pytest tests/integration/api/record_histories.py`` writes them anew; commit one after a change of
workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from typing import Any

from psycopg import AsyncConnection
from temporalio.client import Client

from activities.figures import FiguresRequest
from activities.partitions import MaintenanceRequest
from tests.integration.accounts.record_histories import save
from tests.integration.api.commanding import working
from tests.integration.api.test_health import WITHOUT_MONTHS_AHEAD
from workflows import queues
from workflows.figures import FiguresRefresh
from workflows.partitions import PartitionMaintenance

MONTHS = 18
"""As far ahead as by default."""


async def test_record_figures(world: Any, temporal_client: Client) -> None:
    request = FiguresRequest(agency_id=world.agencies["acme"], if_changed=True)
    async with working(world, temporal_client):
        handle = await temporal_client.start_workflow(
            FiguresRefresh.run,
            request,
            id=queues.figures_workflow_id(request.agency_id),
            task_queue=queues.LIFECYCLE,
        )
        assert (await handle.result()).as_of is not None
        await save(handle, "figures-refresh-counted")


async def test_record_partitions(world: Any, temporal_client: Client, module_database: Any) -> None:
    async with await AsyncConnection.connect(module_database.owner_url) as owner:
        await owner.execute(WITHOUT_MONTHS_AHEAD)
    async with working(world, temporal_client):
        handle = await temporal_client.start_workflow(
            PartitionMaintenance.run,
            MaintenanceRequest(),
            id=queues.PARTITION_WORKFLOW_ID,
            task_queue=queues.LIFECYCLE,
        )
        assert len((await handle.result()).made) == MONTHS
        await save(handle, "partition-maintenance-made")
