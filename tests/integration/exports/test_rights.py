"""With whose rights an export is written, how many are at work, and what of it is seen when."""

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.exports import LAST_TRY_FOR_THE_ROW, ExportSummary, FailedExport, Superseded
from db.models import ExportJob
from domain.errors import NotFound, Unavailable
from services import exports
from services.export_reader import ListReader, NoLongerAllowed
from tests.integration.exports.conftest import ACCOUNTS, NOBODY, Desk, records


async def written(desk: Desk, export: dict[str, Any], lists: ListReader | None = None) -> ExportSummary:
    """What the worker's step makes of an export."""
    steps = desk.steps_by(lists or ListReader(desk.world.database))
    return await ActivityEnvironment().run(steps.write, desk.ref(export))


async def set_active(desk: Desk, username: str, *, active: bool) -> None:
    await desk.query("UPDATE app_user SET active = %s WHERE username = %s", active, username)


@pytest.fixture
async def export(desk: Desk) -> Any:
    """A collector's export of their accounts, which no worker writes."""
    made = await desk.ask("accounts", "acme.collector")
    yield made
    await desk.give_up(made)


async def test_who_is_deactivated_meanwhile_gets_nothing(desk: Desk, export: dict[str, Any]) -> None:
    await set_active(desk, "acme.collector", active=False)
    try:
        with pytest.raises(NoLongerAllowed, match="no longer active"):
            await written(desk, export)
    finally:
        await set_active(desk, "acme.collector", active=True)


async def test_who_is_deactivated_while_it_is_written_gets_nothing(
    desk: Desk, export: dict[str, Any]
) -> None:
    class Dismissing(ListReader):
        async def check(self, job: ExportJob, reading: Any) -> None:
            await set_active(desk, "acme.collector", active=False)
            await super().check(job, reading)

    try:
        with pytest.raises(NoLongerAllowed):
            await written(desk, export, Dismissing(desk.world.database))
    finally:
        await set_active(desk, "acme.collector", active=True)
    assert not await desk.storage.exists(desk.key(export, 1))
    assert (await desk.get(export))["available"] is False


async def test_rights_are_those_of_when_it_is_written(desk: Desk, export: dict[str, Any]) -> None:
    await desk.query("UPDATE account SET assigned_to = NULL WHERE id = %s", await desk.account("200"))
    summary = await written(desk, export)
    assert summary.rows == 50
    assert (await desk.job(export)).sees_only == UUID(await desk.collector())


async def test_what_an_administrator_has_exported_is_not_for_the_collector_they_become(desk: Desk) -> None:
    export = await desk.ask("accounts", "acme.collector")
    await written(desk, export)
    await desk.query("UPDATE export_job SET sees_only = NULL WHERE id = %s", export["id"])
    answer = await desk.call("acme.collector", "GET", f"/exports/{export['id']}/link")
    assert answer.status_code == 404
    assert (await desk.call("acme.admin", "GET", f"/exports/{export['id']}/link")).status_code == 200


async def test_all_pages_are_of_one_moment(desk: Desk) -> None:
    export = await desk.ask("accounts")
    oldest = await desk.account("1")
    async with ListReader(desk.world.database).open(await desk.job(export)) as reading:
        blocks = reading.blocks()
        head = await anext(blocks)
        await desk.query("UPDATE account SET status = 'closed' WHERE id = %s", oldest)
        rest = [block async for block in blocks]
    assert [block.rows for block in (head, *rest)] == [0, 5_000, ACCOUNTS - 5_000]
    rows = records(b"".join(block.data for block in (head, *rest)))
    assert (rows[-1]["id"], rows[-1]["status"]) == (oldest, "new")
    await desk.give_up(export)


async def test_an_attempt_that_was_overtaken_leaves_the_other_s_file(desk: Desk) -> None:
    export = await desk.ask("accounts", status="new")
    made: list[ExportSummary] = []

    class Overtaken(ListReader):
        async def check(self, job: ExportJob, reading: Any) -> None:
            made.append(await written(desk, export))

    with pytest.raises(Superseded):
        await written(desk, export, Overtaken(desk.world.database))
    job = await desk.job(export)
    assert (job.status, job.attempts, job.location) == ("completed", 2, desk.key(export, 2))
    assert not await desk.storage.exists(desk.key(export, 1))
    assert len(records(await desk.file(export))) == made[0].rows == job.rows_written
    assert await written(desk, export) == made[0]
    await ActivityEnvironment().run(desk.steps.remove, desk.ref(export))
    assert not await desk.storage.exists(desk.key(export, 2))


async def test_an_export_that_was_never_committed_is_waited_for_a_while(desk: Desk) -> None:
    ref = desk.ref({"id": NOBODY})
    patient, tired = ActivityEnvironment(), ActivityEnvironment()
    tired.info = dataclasses.replace(tired.info, attempt=LAST_TRY_FOR_THE_ROW)
    with pytest.raises(Unavailable):
        await patient.run(desk.steps.write, ref)
    with pytest.raises(NotFound):
        await tired.run(desk.steps.write, ref)
    failed = FailedExport(**ref.model_dump(), reason="x", reason_type="x")
    await ActivityEnvironment().run(desk.steps.fail, failed)
    await ActivityEnvironment().run(desk.steps.remove, ref)


async def test_an_export_that_failed_stays_so(desk: Desk) -> None:
    export = await desk.ask("imports")
    failed = FailedExport(**desk.ref(export).model_dump(), reason="no more", reason_type="x")
    for _ in range(2):
        await ActivityEnvironment().run(desk.steps.fail, failed)
    view = await desk.get(export)
    assert (view["status"], view["reason"], view["reason_type"]) == ("failed", "no more", "x")
    with pytest.raises(Superseded):
        await written(desk, export)
    answer = await desk.call("acme.admin", "GET", f"/exports/{export['id']}/link")
    assert (answer.status_code, answer.json()["status"]) == (409, 409)
    told = [action for action, _, _ in await desk.audited(export)]
    assert told == ["export.requested", "export.failed"]


async def test_so_many_are_at_work_and_no_more(desk: Desk) -> None:
    async def ask(who: str) -> Any:
        return await desk.call(who, "POST", "/exports", {"list": "accounts"})

    await desk.query("DELETE FROM export_job WHERE status IN ('pending', 'running')")
    mine = [await ask("acme.admin") for _ in range(3)]
    assert [answer.status_code for answer in mine] == [202, 202, 429]
    assert mine[2].json()["type"].endswith("too-many-exports")
    assert mine[2].headers["retry-after"] == "30"
    others = await asyncio.gather(*(ask(who) for who in ["acme.collector", "acme.auditor"] * 3))
    assert sorted(answer.status_code for answer in others) == [202, 202, 202, 429, 429, 429]
    assert (await ask("rival.admin")).status_code == 202
    await desk.query("UPDATE export_job SET created_at = now() - interval '25 hours'")
    assert (await ask("acme.admin")).status_code == 202


async def test_nothing_is_left_of_what_temporal_did_not_take(desk: Desk, monkeypatch: Any) -> None:
    await desk.query("DELETE FROM export_job WHERE status IN ('pending', 'running')")
    monkeypatch.setattr(exports, "PATIENCE", timedelta(microseconds=1))
    answer = await desk.call("acme.admin", "POST", "/exports", {"list": "accounts"})
    assert answer.status_code == 503
    assert await desk.query("SELECT FROM export_job WHERE status IN ('pending', 'running')") == []
