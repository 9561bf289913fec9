"""A worker is killed when it has written a file and not yet said so: there is none until another one has."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.integration.exports.conftest import ACCOUNTS, Desk, records
from workers.deployment import make_current

REPOSITORY = Path(__file__).parents[3]
FINISH_S = 90
WAITING = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'audit_record'::regclass"


@asynccontextmanager
async def worker(environment: dict[str, str], folder: Path) -> AsyncIterator[Process]:
    with (folder / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "worker", cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def environment(desk: Desk, temporal_server: TemporalServer, temporal_namespace: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    settings = desk.world.settings
    return {
        **clean,
        "PYTHONPATH": str(REPOSITORY),
        "RECOUP_DATABASE_URL": settings.database_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_namespace,
        "RECOUP_BUILD_ID": settings.build_id,
        "RECOUP_STORAGE_URL": settings.storage_url,
        "RECOUP_LIFECYCLE_CAPACITY": "0",
    }


@pytest.mark.timeout(180)
async def test_another_worker_writes_the_file_from_its_beginning(
    desk: Desk, environment: dict[str, str], tmp_path: Path, temporal_client: Any
) -> None:
    await make_current(temporal_client, desk.world.settings.build_id)
    export = await desk.ask("accounts")
    async with await psycopg.AsyncConnection.connect(desk.superuser_url) as locks:
        await locks.execute("LOCK TABLE audit_record IN SHARE MODE")
        async with worker(environment, tmp_path) as victim:

            async def waits() -> bool:
                return bool(await desk.query(WAITING))

            await until(waits, within_s=FINISH_S, what="the worker to say that the file is whole")
            victim.kill()
            await victim.wait()
        assert await desk.storage.exists(desk.key(export, 1))
        half = await desk.get(export)
        assert (half["status"], half["available"]) == ("running", False)
        link = await desk.call("acme.admin", "GET", f"/exports/{export['id']}/link")
        assert link.status_code == 409
        await locks.rollback()
    async with worker(environment, tmp_path):
        whole = await desk.ended(export, within_s=FINISH_S)
    assert (whole["status"], whole["rows"]) == ("completed", ACCOUNTS)
    rows = records(await desk.file(export))
    assert len({row["id"] for row in rows}) == ACCOUNTS
    job = await desk.job(export)
    assert (job.attempts, job.location) == (2, desk.key(export, 2))
    assert [action for action, _, _ in await desk.audited(export)][:2] == [
        "export.requested", "export.completed"
    ]  # fmt: skip
