"""Figures for monitoring, read from a real database and a real Temporal."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection
from sqlalchemy import insert
from temporalio.client import Client

from db.models import ImportJob, InboxEvent, Payment
from db.operating_figures import first_id_at
from domain.tenancy import Tenant
from sandbox.processes import until
from services.operating_figures import OperatingFigures
from tests.integration.api.conftest import world
from tests.integration.api.contacting import days_ago, debt, logged, refused
from tests.integration.api.people import make, place
from workflows.schedules import INSTALLATION, schedule_ids

__all__ = ["world"]


async def figures(world: Any) -> OperatingFigures:
    answer: OperatingFigures = await world.services.operating.figures()
    return answer


async def add(world: Any, table: type, agency: str = "acme", **values: Any) -> None:
    tenant = Tenant.system(world.agencies[agency], "test")
    async with world.database.transaction(tenant) as tx:
        await tx.session.execute(insert(table).values(agency_id=tenant.agency_id, **values))


def imported(**values: Any) -> dict[str, Any]:
    return {
        "channel": "upload",
        "file_name": "a.csv",
        "location": "here",
        "sha256": uuid4().hex * 2,
        "profile": {},
        "requested_by": "test",
        **values,
    }


def event(status: str, received_at: datetime) -> dict[str, Any]:
    moments = {"occurred_at": received_at, "received_at": received_at}
    return {
        "provider": "stripe",
        "event_ref": uuid4().hex,
        "type": "x",
        "body": b"",
        "status": status,
        **moments,
    }


async def test_files_of_all_agencies_are_added_up(world: Any) -> None:
    moved = datetime.now(UTC) - timedelta(minutes=20)
    await add(world, ImportJob, **imported(status="completed", processed_ok=7, processed_errors=2))
    await add(world, ImportJob, "rival", **imported(status="failed", processed_ok=1, processed_errors=4))
    await add(world, ImportJob, "rival", **imported(status="processing", processed_ok=5, updated_at=moved))
    seen = await figures(world)
    assert seen.rows == {"taken": 13, "refused": 6}
    assert seen.files == {"completed": 1, "failed": 1}
    assert seen.imports_unfinished == 1
    assert 1200 <= seen.import_stalled_s < 1260


async def test_events_that_nothing_came_of_are_counted_with_the_age_of_the_oldest(world: Any) -> None:
    now = datetime.now(UTC)
    await add(world, InboxEvent, **event("received", now - timedelta(minutes=5)))
    await add(world, InboxEvent, "rival", **event("received", now - timedelta(hours=1)))
    await add(world, InboxEvent, **event("failed", now - timedelta(minutes=1)))
    await add(world, InboxEvent, **event("handled", now - timedelta(days=1)))
    inbox = (await figures(world)).inbox
    assert inbox.counts == {"received": 2, "failed": 1}
    assert 3600 <= inbox.oldest_s["received"] < 3660


async def test_payments_of_the_last_day_are_counted_by_what_became_of_them(world: Any) -> None:
    account = UUID((await place(world, await make(world)))["id"])
    paid = {
        "account_id": account,
        "origin": "request",
        "currency": "USD",
        "amount": 5,
        "requested_by": "test",
    }

    async def pay(method: str, status: str, **values: Any) -> None:
        key = uuid4().hex
        await add(world, Payment, idempotency_key=key, method=method, status=status, **paid, **values)

    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    await pay("card", "failed")
    await pay("card", "failed")
    await pay("bank_transfer", "processing", updated_at=two_days_ago)
    await pay("card", "failed", id=first_id_at(two_days_ago))
    seen = await figures(world)
    assert seen.payments == {("card", "failed"): 2, ("bank_transfer", "processing"): 1}
    assert seen.unfinished_payments.counts == {"processing": 1}
    assert seen.unfinished_payments.oldest_s["processing"] >= 2 * 86_400


async def test_what_the_law_refused_is_counted_by_rule(world: Any) -> None:
    await refused(world, await debt(world), "contact_hours", at=days_ago(2, hour=9))
    await logged(world, await debt(world), at=days_ago(2))
    assert (await figures(world)).decisions == {("contact_hours", False): 1, ("", True): 1}


async def test_partitions_are_counted_ahead_of_this_month(world: Any) -> None:
    assert (await figures(world)).months_ahead == 18
    assert first_id_at(datetime(2026, 1, 1, tzinfo=UTC)) < UUID("019b7b2d-0000-7000-8000-000000000000")


async def test_the_ledger_is_proved(world: Any, module_database: Any) -> None:
    before = await world.services.operating.ledger()
    account = await place(world, await make(world))
    sound = await world.services.operating.ledger()
    assert (sound.accounts, sound.unsound) == (before.accounts + 1, before.unsound)
    # What no role of ours may do: neither triggers nor the ledger see it.
    async with await AsyncConnection.connect(module_database.superuser_url) as superuser:
        await superuser.execute("SET session_replication_role = replica")
        await superuser.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", [account["id"]])
    assert (await world.services.operating.ledger()).unsound == before.unsound + 1


async def test_schedules_tell_how_late_they_are_and_whether_they_are_paused(
    world: Any, temporal_client: Client
) -> None:
    ids = schedule_ids(world.agencies["acme"])
    kinds = {name.partition("/")[0] for name in ids} | {schedule.id for schedule in INSTALLATION}
    paused = ids[0].partition("/")[0]
    await temporal_client.get_schedule_handle(ids[0]).pause()

    async def told() -> bool:
        seen = await world.services.operating.schedules()
        return set(seen.lag_s) == set(seen.paused) == kinds and seen.paused[paused] == 1

    await until(told, within_s=60, what="the schedules to be listed, one of them paused")
    seen = await world.services.operating.schedules()
    assert sum(seen.paused.values()) == 1
    assert all(0 <= late < 60 for late in seen.lag_s.values())


@pytest.mark.parametrize("name", ["recoup_ready", "recoup_import_rows_total", "recoup_reconciliation_breaks"])
async def test_metrics_are_given_out(world: Any, name: str) -> None:
    answer = await world.call(None, "GET", "http://test/metrics")
    assert answer.status_code == 200
    assert f"# HELP {name} " in answer.text or f"# HELP {name.removesuffix('_total')}" in answer.text
