"""A worker is killed after a partner took a batch and before that is on record; another sends it again."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.command_line import CommandLine
from tests.integration.partners.endpoint import SECRET, Endpoint
from tests.integration.partners.office import PartnerOffice
from workers.deployment import make_current

FINISH_S = 90


@pytest.fixture
def environment(
    empty_office: PartnerOffice, temporal_server: TemporalServer, temporal_namespace: str
) -> dict[str, str]:
    settings = empty_office.world.settings
    return {
        "RECOUP_DATABASE_URL": settings.database_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_namespace,
        "RECOUP_BUILD_ID": settings.build_id,
        "RECOUP_STORAGE_URL": settings.storage_url,
        "RECOUP_LIFECYCLE_CAPACITY": "0",
    }


@pytest.mark.timeout(240)
async def test_a_batch_that_was_taken_before_the_worker_died_is_sent_again_and_counts_once(
    empty_office: PartnerOffice,
    command_line: CommandLine,
    environment: dict[str, str],
    tmp_path: Path,
    module_database: Any,
) -> None:
    office, endpoint = empty_office, Endpoint()
    await make_current(office.temporal, office.world.settings.build_id)
    await office.accounts(3, "1500.00")
    await office.query("UPDATE account_score SET high_priority = true")
    await endpoint.start()
    way = {"delivery": "https", "delivery_url": endpoint.url, "signing_secret": SECRET}
    partner = await office.partner(**way)
    endpoint.answers = ["held"]
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as lock:
        async with command_line.worker(tmp_path, environment) as victim:
            started = await office.done("POST", f"/partners/{partner['id']}/syncs", {})
            await until(lambda: came(endpoint), within_s=FINISH_S, what="the batch to arrive")
            await lock.execute("SELECT FROM partner_batch WHERE sync_id = %s FOR UPDATE", [started["id"]])
            endpoint.released.set()
            await until(lambda: waits(lock), within_s=FINISH_S, what="the worker to record the delivery")
            victim.kill()
            await victim.wait()
        shown = await office.done("GET", f"/syncs/{started['id']}")
        assert (shown["status"], shown["delivered"], shown["batches"][0]["attempts"]) == ("running", 0, 1)
        await forsake(lock)
        await lock.rollback()
    async with command_line.worker(tmp_path, environment):

        async def over() -> bool:
            return bool((await office.done("GET", f"/syncs/{started['id']}"))["status"] == "completed")

        await until(over, within_s=FINISH_S, what="the sending to end")
    await endpoint.stop()
    shown = await office.done("GET", f"/syncs/{started['id']}")
    assert (shown["delivered"], shown["total"], shown["batches"][0]["attempts"]) == (3, 3, 2)
    assert endpoint.keys == [f"{started['id']}-1"] * 2
    assert len({delivery.body for delivery in endpoint.deliveries}) == 1
    [known] = await office.query(
        "SELECT count(*) FROM partner_account WHERE partner_id = :p AND sent_at IS NOT NULL", p=partner["id"]
    )
    assert known[0] == 3


async def came(endpoint: Endpoint) -> bool:
    return bool(endpoint.deliveries)


_WAITING = "FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"


async def waits(lock: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the worker waits for the lock on the delivery record."""
    return bool(await (await lock.execute(f"SELECT pid {_WAITING}".encode())).fetchall())


async def forsake(lock: psycopg.AsyncConnection[Any]) -> None:
    """End what the killed worker has left waiting: the server would not notice before it is through."""
    await lock.execute(f"SELECT pg_terminate_backend(pid) {_WAITING}".encode())
