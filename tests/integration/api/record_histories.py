"""Records a history of figures that ``tests/replay`` replays, from a real run.

``python -m pytest tests/integration/api/record_histories.py`` writes it anew; commit it after a change of
workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from typing import Any

from temporalio.client import Client

from activities.figures import FiguresRequest
from tests.integration.accounts.record_histories import save
from tests.integration.api.commanding import working
from workflows import queues
from workflows.figures import FiguresRefresh


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
