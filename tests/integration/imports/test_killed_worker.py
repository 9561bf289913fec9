"""A worker is killed with imports in every phase; another finishes them as if nothing had happened.

One real worker process stands in six places at once, held there by locks of the database and by the
SFTP server, so that one ``kill -9`` and one heartbeat timeout prove them all.
"""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sandbox.temporal import TemporalServer
from services.admission import AdmissionRequests
from tests.command_line import CommandLine
from tests.integration.imports.shop import Shop, eventually

PHASES = ("debtors", "accounts", "move", "scoring", "admission")
FINISH_S = 90

HEADER = "external_ref,debtor_name,original_amount,debtor_ref,debtor_email,due_date\n"
BASE = HEADER + "".join(f"R-{n},Person {n},{n + 1}.50,D-{n},p{n}@example.com,2026-01-01\n" for n in range(8))
CHANGED = HEADER + "".join(
    f"R-{n},Person {n},{n + 1}.50,D-{n},q{n}@example.com,2026-02-02\n" for n in range(16)
)
BIG = "external_ref,debtor_name,original_amount,filler\n" + "".join(
    f"B-{n},Person {n},{n + 1}.00,{'x' * 32_000}\n" for n in range(520)
)
"""Long enough for one committed chunk (8 MiB) and then some."""
BIG_HELD_AT = 12 << 20


@pytest.fixture
def agencies() -> tuple[str, ...]:
    return ("calm", "calm-big", "staging", *PHASES)


@pytest.fixture
def environment(
    database: Any, temporal_server: TemporalServer, temporal_namespace: str, tmp_path: Path
) -> dict[str, str]:
    return {
        "RECOUP_DATABASE_URL": database.app_url,
        "RECOUP_DATABASE_POOL_SIZE": "20",
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_namespace,
        "RECOUP_BUILD_ID": "test",
        "RECOUP_STORAGE_URL": f"file://{tmp_path}/storage",
        "RECOUP_POLL_SETTLE_SECONDS": "0.1",
        "RECOUP_ADMISSION_RATE": "200",
        "RECOUP_LIFECYCLE_CAPACITY": "20",
    }


@pytest.mark.timeout(240)
async def test_another_worker_finishes_what_a_killed_one_began(
    shops: dict[str, Shop],
    command_line: CommandLine,
    environment: dict[str, str],
    tmp_path: Path,
    database: Any,
) -> None:
    phases = [shops[name] for name in ("calm", *PHASES)]
    await shops["admission"].query(
        "UPDATE agency SET lifecycle_capacity = 0 WHERE id = %s", shops["admission"].agency_id
    )
    async with await psycopg.AsyncConnection.connect(database.superuser_url, row_factory=dict_row) as locks:
        async with command_line.worker(tmp_path, environment) as victim:
            await asyncio.gather(*(shop.import_file(BASE) for shop in phases))
            await asyncio.gather(*(shop.scored() for shop in phases if shop.name != "admission"))
            held = shops["staging"].door.hold_read("staging", BIG_HELD_AT, after_openings=1)
            move = shops["move"].door.hold_rename("move")
            await stand_still(shops, locks)
            await asyncio.gather(held.reached(), move.reached())
            await eventually(lambda: all_blocked(locks), FINISH_S)
            [job] = await shops["staging"].jobs()
            assert 0 < job["total_records"] < 520, "staging is half done"
            victim.kill()
            await victim.wait()
        await locks.rollback()
        held.open()
        move.open()
        async with command_line.worker(tmp_path, environment):
            await asyncio.gather(
                *(shop.settled(2, within_s=FINISH_S) for shop in phases),
                *(shops[name].settled(1, within_s=FINISH_S) for name in ("calm-big", "staging")),
            )
            await asyncio.gather(*(shop.scored() for shop in shops.values()))
            results = {name: await shop.tables() for name, shop in shops.items()}

    assert results["staging"] == results["calm-big"]
    for phase in PHASES:
        assert results[phase] == results["calm"], phase
    assert len(results["calm"]["accounts"]) == len(results["calm"]["postings"]) == 16
    assert len(results["calm-big"]["accounts"]) == 520
    for shop in shops.values():
        assert not await shop.breaches()
        assert shop.waiting() == []


async def stand_still(shops: dict[str, Shop], locks: psycopg.AsyncConnection[Any]) -> None:
    """Bring every agency to its phase and hold it there."""
    for table, strength, name in (
        ("debtor", "UPDATE", "debtors"),
        ("account", "NO KEY UPDATE", "accounts"),
        ("account_score", "UPDATE", "scoring"),
    ):
        await hold(locks, table, strength, shops[name])
    for shop in shops.values():
        shop.send(BIG if shop.name in {"staging", "calm-big"} else CHANGED, "second.csv")
    await asyncio.gather(*(shop.poll() for shop in shops.values()))
    admission = shops["admission"]
    await admission.settled(2)
    await eventually(lambda: scored_twice(admission))
    await hold(locks, "account", "NO KEY UPDATE", admission)
    await admission.query("UPDATE agency SET lifecycle_capacity = NULL WHERE id = %s", admission.agency_id)
    await AdmissionRequests(admission.client).ask(admission.agency_id)


async def hold(locks: psycopg.AsyncConnection[Any], table: str, strength: str, shop: Shop) -> None:
    statement = f"SELECT FROM {table} WHERE agency_id = %s FOR {strength}"
    await locks.execute(statement.encode(), [shop.agency_id])


async def scored_twice(shop: Shop) -> bool:
    return [run["status"] for run in await shop.mine("status", "scoring_run")] == ["completed"] * 2


async def all_blocked(locks: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the worker waits for each of the four locks."""
    found = await locks.execute(
        "SELECT count(*) AS waiting FROM pg_stat_activity"
        " WHERE datname = current_database() AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    row = await found.fetchone()
    return row is not None and row["waiting"] >= 4
