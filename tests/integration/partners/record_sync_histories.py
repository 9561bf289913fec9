"""Records histories of sendings to partners that ``tests/replay`` replays.

``python -m pytest tests/integration/partners/record_sync_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.integration.accounts.record_histories import save
from tests.integration.partners.endpoint import Endpoint
from tests.integration.partners.office import Json, PartnerOffice
from tests.integration.partners.test_syncs import first, https, scored, sent
from workflows.queues import partner_sync_workflow_id, scoring_workflow_id


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    await made.start()
    yield made
    await made.stop()


async def keep(office: PartnerOffice, sync: Json, name: str) -> None:
    await save(office.temporal.get_workflow_handle(partner_sync_workflow_id(UUID(sync["id"]))), name)


async def test_record_sendings(office: PartnerOffice, endpoint: Endpoint) -> None:
    await office.accounts(3, "1500.00")
    partner = await https(office, endpoint)
    run = await scored(office)
    handle = office.temporal.get_workflow_handle(scoring_workflow_id(UUID(run["id"])))
    await handle.result()
    await save(handle, "portfolio-scoring-with-a-partner")
    await keep(office, await first(office, partner), "partner-sync-delivered")
    endpoint.answers = ["500"]
    await keep(office, await sent(office, partner), "partner-sync-delivered-again")
    endpoint.answers = ["400"]
    await keep(office, await sent(office, partner), "partner-sync-refused")
