"""PostgreSQL dies when a payment has just been posted and nobody was told of it yet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import Client

from activities.messages import AgencyRef
from db import migrate
from sandbox.ports import free_port
from sandbox.postgres import OWNER, THROW_AWAY, Postgres, ensure_database
from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from services.notices import Signaller
from tests.conftest import TEMPLATE, TemporaryDatabase, _copy
from tests.integration.api.commanding import notices, tell
from tests.integration.payments.till import at_work, opened
from workflows.notices import NoticeDelivery
from workflows.queues import LIFECYCLE, account_workflow_id


@pytest.fixture(scope="module")
async def mortal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """A server of this module's own, durable as production's is."""
    folder = tmp_path_factory.mktemp("mortal")
    settings = {**THROW_AWAY, "synchronous_commit": "on"}
    server = Postgres(folder / "data", free_port(), log=folder / "postgres.log", settings=settings)
    await server.start()
    yield server
    await server.stop(fast=False)


@pytest.fixture(scope="module")
async def module_database(mortal: Postgres) -> AsyncIterator[TemporaryDatabase]:
    await ensure_database(mortal, TEMPLATE)
    await asyncio.to_thread(migrate.upgrade, mortal.url(OWNER, TEMPLATE))
    async with _copy(mortal, TEMPLATE) as made:
        yield made


async def test_a_journal_of_which_nobody_was_told_is_told_of_later(
    world: Any,
    mortal: Postgres,
    temporal_client: Client,
    stripe_server: StripeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died = asyncio.Event()

    class Dying(Signaller):
        """Whoever would tell of a posted payment finds the database gone."""

        async def _tell(self, agency_id: UUID, account_ids: Sequence[UUID]) -> None:
            if not died.is_set():
                await mortal.kill()
                died.set()
            await super()._tell(agency_id, account_ids)

    till = await opened(world, temporal_client, stripe_server)
    account = await till.debt("40.00")
    lifecycle = temporal_client.get_workflow_handle(account_workflow_id(UUID(account["id"])))
    async with at_work(till):
        assert (await tell(world, account, "holds", {"kind": "workplace", "reason": "asked"})).is_success
    monkeypatch.setattr("workers.worker.Signaller", Dying)
    async with at_work(till):
        asked = asyncio.create_task(till.pay(account, "40.00", idempotency_key="once"))
        await asyncio.wait_for(died.wait(), 60)
        await mortal.start()
        await asked

        async def back() -> bool:
            return (await till.pay(account, "40.00", idempotency_key="once")).status_code == 201

        await until(back, within_s=60, what="the database to answer")
        assert account["id"] in await notices(world)
        assert await till.journals(account) == [("payment", Decimal("40.00"))]
        assert len(await till.charges(account)) == 1
        await temporal_client.execute_workflow(
            NoticeDelivery.run, AgencyRef(agency_id=till.agency_id), id="late-notices", task_queue=LIFECYCLE
        )
        await asyncio.wait_for(lifecycle.result(), 60)
        assert account["id"] not in await notices(world)
    assert (await till.balance(account), await till.status(account)) == ("0.00", "closed")
    await till.close()
