"""Readiness: 200 when everything is there, else what is missing, and always soon."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from db import migrate
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from services.health import HealthService
from workflows import queues

READY = "http://test/health/ready"
BUSY_S = 30.0


@workflow.defn(sandboxed=False)
class Idle:
    """Gives a worker something to serve."""

    @workflow.run
    async def run(self) -> None:
        """End at once."""


@activity.defn
async def idle() -> None:
    """Gives a worker something to serve."""


@pytest.fixture
async def workers(temporal_client: Client) -> AsyncIterator[None]:
    """Workers that poll every queue."""
    async with (
        Worker(temporal_client, task_queue=queues.LIFECYCLE, workflows=[Idle], activities=[idle]),
        Worker(temporal_client, task_queue=queues.BULK, workflows=[Idle], activities=[idle]),
    ):
        yield


@pytest.fixture(autouse=True)
def patient(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine is slow to answer is not away."""
    monkeypatch.setattr(world.services.health, "_timeout_s", BUSY_S)


async def until_said(health: HealthService, words: str) -> None:
    """Wait until the check of the schedules says so: what is listed follows what was made or deleted."""

    async def said() -> bool:
        return words in str((await health.ready()).checks["schedules"].missing)

    await until(said, within_s=60, what=f"{words!r} to be said of the schedules")


async def test_alive_is_alive(world: Any) -> None:
    answer = await world.call(None, "GET", "http://test/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_what_is_missing_is_said(world: Any) -> None:
    answer = await world.call(None, "GET", READY)
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks["database"] == checks["search_attributes"] == {"ok": True, "missing": None}
    assert "recoup worker" in checks["workers"]["missing"]
    assert "recoup seed" in checks["demo"]["missing"]


@pytest.mark.usefixtures("workers")
async def test_ready_when_everything_is_there(world: Any) -> None:
    await world.call("platform", "POST", "/agencies", {"slug": "demo", "name": "Demo"})
    answer = httpx.Response(503)

    async def ready() -> bool:
        nonlocal answer
        answer = await world.call(None, "GET", READY)
        return bool(answer.status_code == 200)

    await until(ready, within_s=60, what="everything to be there")
    assert answer.json()["ready"] is True
    assert set(answer.json()["checks"]) == {
        "database",
        "partitions",
        "search_attributes",
        "schedules",
        "workers",
        "demo",
    }


WITHOUT_MONTHS_AHEAD = """
DO $$ DECLARE part TEXT; BEGIN
    FOR part IN
        SELECT inhrelid::regclass FROM pg_inherits
         WHERE inhparent = 'timeline_event'::regclass
           AND inhrelid::regclass::text > to_char(now() AT TIME ZONE 'UTC', '"timeline_event_"YYYY_MM')
    LOOP EXECUTE 'DROP TABLE ' || part; END LOOP;
END $$
"""


async def test_partitions_that_run_out_are_noticed(
    world: Any, temporal_client: Client, module_database: Any
) -> None:
    health = HealthService(world.database, temporal_client, revisions=["0001"], timeout_s=BUSY_S)
    async with await psycopg.AsyncConnection.connect(module_database.owner_url, autocommit=True) as owner:
        await owner.execute(WITHOUT_MONTHS_AHEAD)
        said = (await health.ready()).checks["partitions"]
        assert (said.ok, said.missing) == (
            False,
            "partitions are there for 0 months after this one; run `recoup migrate`",
        )
        await owner.execute("SELECT add_month_partitions(18)")
    assert (await health.ready()).checks["partitions"].ok


async def test_an_active_agency_without_schedules_is_noticed(world: Any, temporal_client: Client) -> None:
    async with world.database.platform() as tx:
        await tx.agencies.add({"slug": "unscheduled", "name": "Unscheduled"})
        await tx.session.flush()
    health = HealthService(world.database, temporal_client, revisions=["0001"], timeout_s=BUSY_S)
    await until_said(health, "1 active agencies lack schedules")
    async with world.database.platform() as tx:
        agency = await tx.agencies.find("unscheduled")
        await tx.agencies.change(agency.id, {"active": False})
    assert (await health.ready()).checks["schedules"].ok


async def test_a_partner_without_its_schedule_is_noticed(world: Any, temporal_client: Client) -> None:
    made = await world.call("acme.admin", "POST", "/partners", {"name": "daily", "reconcile_at": "06:30"})
    await world.call("acme.admin", "POST", "/partners", {"name": "on-demand"})
    health = HealthService(world.database, temporal_client, revisions=["0001"], timeout_s=BUSY_S)
    await until_said(health, "None")
    schedule = temporal_client.get_schedule_handle(f"partner-reconciliation/{made.json()['id']}")
    await schedule.delete()
    await until_said(health, "1 active agencies lack schedules")
    await world.call("acme.admin", "PATCH", f"/partners/{made.json()['id']}", {"active": False})
    assert (await health.ready()).checks["schedules"].ok


@pytest.mark.parametrize(
    ("known", "ready"),
    [
        pytest.param([*migrate.known(), "9999"], False, id="older"),
        pytest.param(migrate.known(), True, id="ours"),
        pytest.param(["0001"], True, id="newer"),
    ],
)
async def test_a_schema_that_is_older_than_the_build_is_noticed(
    world: Any, temporal_client: Client, known: list[str], ready: bool
) -> None:
    health = HealthService(world.database, temporal_client, revisions=known, timeout_s=BUSY_S)
    database = (await health.ready()).checks["database"]
    assert (database.ok, "recoup migrate" in str(database.missing)) == (ready, not ready)


async def test_an_empty_database_is_noticed(postgres_server: Any, temporal_client: Client) -> None:
    database = Database(
        postgres_server.url("postgres", "postgres"), ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))
    )
    readiness = await HealthService(database, temporal_client, revisions=["0001"], timeout_s=BUSY_S).ready()
    await database.close()
    assert "recoup migrate" in str(readiness.checks["database"].missing)


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A port where somebody picks up and says nothing."""
    over = asyncio.Event()

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def test_servers_that_are_away_are_noticed_in_time(tmp_path: Path, silent_port: int) -> None:
    database = Database(
        f"postgresql://nobody@127.0.0.1:{silent_port}/none", ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))
    )
    server = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await server.start()
    client = await Client.connect(server.address)
    await server.stop()
    began = time.monotonic()
    readiness = await HealthService(database, client, revisions=["0001"], timeout_s=0.5).ready()
    # Neither would ever answer.
    assert time.monotonic() - began < 60
    await database.close()
    assert not readiness.ready
    assert all(check.missing for check in readiness.checks.values())
    assert readiness.checks["database"].missing == "no answer within 0.5 s"
