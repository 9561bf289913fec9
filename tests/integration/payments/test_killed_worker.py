"""A worker is killed after Stripe did the work and before the answer came: another one finds it done."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from sandbox.temporal import TemporalServer
from tests.command_line import CommandLine
from tests.integration.payments.till import Till, at_work, opened
from workflows import queues

MONEY_WORKER = Path(__file__).with_name("money_worker.py")
RECOVERED_WITHIN_S = 60
"""A step at Stripe shows every few seconds that it lives; after ten seconds without it is tried again."""


@pytest.fixture
async def desk(world: Any, temporal_client: Client, stripe_server: StripeServer) -> AsyncIterator[Till]:
    """A till at whose Stripe queue nobody works yet."""
    till = await opened(world, temporal_client, stripe_server)
    async with at_work(till, [queues.LIFECYCLE, queues.BULK]):
        yield till
    await till.close()


@pytest.fixture
def environment(desk: Till, temporal_server: TemporalServer, tmp_path: Path) -> dict[str, str]:
    return {
        "RECOUP_DATABASE_URL": desk.world.settings.database_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": desk.temporal.namespace,
        "RECOUP_BUILD_ID": desk.world.settings.build_id,
        "RECOUP_STRIPE_URL": desk.stripe.url,
        "RECOUP_STORAGE_URL": f"file://{tmp_path}/storage",
        "RECOUP_HOME": str(tmp_path / "home"),
    }


@pytest.mark.timeout(180)
async def test_what_stripe_did_before_the_worker_died_is_done_once(
    desk: Till, command_line: CommandLine, environment: dict[str, str], tmp_path: Path
) -> None:
    charged, created, refunded = [await desk.debt() for _ in range(3)]
    async with command_line.worker(tmp_path, environment, MONEY_WORKER) as victim:
        paid = await desk.paid(refunded, "50.00")
        hangs = [
            desk.breaks("timeout_after", path, seconds=60)
            for path in ("/v1/payment_intents", "/v1/refunds", "/v1/payment_intents/*/confirm")
        ]
        async with desk.in_haste() as hasty:
            answers = await asyncio.gather(
                hasty.pay(created, "20.00"), hasty.pay(charged, "30.00"), hasty.refund(paid, amount="10.00")
            )
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        first, second, _ = [answer.json() for answer in answers]

        async def all_hang() -> bool:
            return all(fault.hits for fault in hangs)

        await until(all_hang, within_s=60, what="Stripe to have done all three")
        victim.kill()
        await victim.wait()
    async with at_work(desk, [queues.MONEY]):
        await desk.ends(first, "succeeded", within_s=RECOVERED_WITHIN_S)
        await desk.ends(second, "succeeded", within_s=RECOVERED_WITHIN_S)
        ended = await desk.ends(paid, "partially_refunded", within_s=RECOVERED_WITHIN_S)
    assert ended["refunded_amount"] == "10.00"
    for account, amount in ((created, "20.00"), (charged, "30.00")):
        assert [one["status"] for one in await desk.intents(account)] == ["succeeded"]
        assert len(await desk.charges(account)) == 1
        assert await desk.journals(account) == [("payment", Decimal(amount))]
    assert await desk.journals(refunded) == [("payment", Decimal("50.00")), ("refund", Decimal("10.00"))]
    at_stripe = await desk.caller.get("refunds", payment_intent=paid["processor_ref"])
    assert [one["amount"] for one in at_stripe["data"]] == [1000]
