"""Automatic assignment over REST: asked for, previewed, followed, refused; real servers and workers."""

import asyncio
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from temporalio.client import Client

from sandbox.processes import until
from tests.integration.api import people
from tests.integration.api.commanding import tell, working
from workers.deployment import make_current
from workflows import queues
from workflows.schedules import assignment_schedule_id

ACCOUNTS = 12
RUN_FIELDS = {
    "id", "status", "origin", "requested_by", "assigned", "left_over", "collectors", "reason", "started_at",
    "completed_at", "created_at", "updated_at", "web_ui_url",
}  # fmt: skip


@pytest.fixture(scope="module")
async def stocked(world: Any, temporal_client: Client) -> list[dict[str, Any]]:
    """Acme's accounts, and a collector with room for seven of them."""
    await make_current(temporal_client, world.settings.build_id)
    debtor = await people.make(world)
    accounts = [await people.place(world, debtor, f"{100 + 10 * n}.00") for n in range(ACCOUNTS)]
    await limit(world, 7)
    return accounts


async def limit(world: Any, maximum: int) -> None:
    path = f"/collectors/{await people.collector_of(world)}"
    answer = await world.call("acme.admin", "PATCH", path, {"max_accounts": maximum})
    assert answer.status_code == 200, answer.text


async def start(world: Any, query: str = "", **headers: str) -> Any:
    return await world.call("acme.admin", "POST", f"/assignments{query}", **headers)


async def ended(world: Any, run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def over() -> bool:
        found.update(await people.read(world, f"/assignments/{run['id']}"))
        return found["status"] in {"completed", "failed"}

    await until(over, within_s=60, what="the assignment to end")
    return found


async def test_a_preview_says_what_a_run_does_and_changes_nothing(
    world: Any, stocked: list[dict[str, Any]], temporal_client: Client
) -> None:
    before = await people.read(world, "/accounts")

    previewed = await start(world, "?preview=true")
    between = await people.read(world, "/accounts")
    runs = await people.read(world, "/assignments")
    key = {"Idempotency-Key": uuid4().hex}
    asked = await start(world, **key)
    again = await start(world, **key)
    other = await start(world)
    listening = asyncio.create_task(
        world.call("acme.auditor", "GET", f"/assignments/{asked.json()['id']}/events")
    )
    async with working(world, temporal_client):
        run = await ended(world, asked.json())
        heard = await asyncio.wait_for(listening, 60)

    assert previewed.status_code == 200, previewed.text
    assert between == before
    assert runs["results"] == []
    assert asked.status_code == 202, asked.text
    assert asked.json().keys() == RUN_FIELDS
    assert (asked.json()["status"], asked.json()["requested_by"]) == ("pending", "acme.admin")
    assert again.json() == asked.json()
    assert (other.status_code, other.json()["type"]) == (409, "urn:recoup:problem:assignment-run-going")
    assert (run["status"], run["assigned"], run["left_over"]) == ("completed", 7, ACCOUNTS - 7)
    [share] = run["collectors"]
    assert (share["full_name"], share["accounts"]) == ("acme.collector", 7)
    assert previewed.json() == {"assigned": 7, "left_over": 5, "collectors": [share]}
    assert "event: completed" in heard.text.replace("\r\n", "\n")
    assert queues.assignment_workflow_id(world.agencies["acme"]).split("/")[0] in run["web_ui_url"]

    mine = await people.read(world, "/worklist", who="acme.collector")
    assert len(mine["results"]) == 7
    best = await people.read(world, f"/accounts/{mine['results'][0]['id']}")
    timeline = await people.read(world, f"/accounts/{best['id']}/timeline")
    assert best["status"] == "assigned"
    assert {event["kind"] for event in timeline["results"]} >= {"assigned", "status_changed"}
    listed = await people.read(world, "/assignments", who="acme.auditor")
    assert [entry["id"] for entry in listed["results"]] == [run["id"]]


async def test_the_schedule_does_it_each_morning(
    world: Any, stocked: list[dict[str, Any]], temporal_client: Client
) -> None:
    known = len((await people.read(world, "/assignments"))["results"])
    given = (await people.read(world, "/accounts", collector=await people.collector_of(world)))["results"]
    await limit(world, len(given) + 2)
    schedule = assignment_schedule_id(world.agencies["acme"])
    shown = {entry["id"]: entry for entry in (await people.read(world, "/schedules"))["results"]}

    async with working(world, temporal_client):
        path = f"/schedules/{quote(schedule)}/trigger"
        assert (await world.call("acme.admin", "POST", path)).status_code == 202

        async def assigned() -> bool:
            runs = (await people.read(world, "/assignments"))["results"]
            return len(runs) > known and runs[0]["status"] == "completed"

        await until(assigned, within_s=60, what="the scheduled assignment")
    run = (await people.read(world, "/assignments"))["results"][0]

    assert shown[schedule]["spec"] == "every day at 05:30 America/New_York"
    assert (run["origin"], run["requested_by"]) == ("schedule", "auto-assignment")
    assert run["assigned"] == 2


async def test_another_agency_s_runs_are_not_there(world: Any, stocked: list[dict[str, Any]]) -> None:
    asked = (await start(world)).json()
    run_id = asked.get("run_id") or asked["id"]
    for path in ("", "/events"):
        answer = await world.call("rival.admin", "GET", f"/assignments/{run_id}{path}")
        assert answer.status_code == 404
    assert (await people.read(world, "/assignments", who="rival.admin"))["results"] == []


async def test_a_run_that_waits_for_a_worker_is_named_to_who_asks_for_another(
    world: Any, stocked: list[dict[str, Any]]
) -> None:
    waiting = await start(world)
    answer = await start(world)
    assert answer.status_code == 409
    assert answer.json()["run_id"] in {waiting.json().get("id"), waiting.json().get("run_id")}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/assignments", "max_accounts"),
        ("/assignments?preview=true", "max_accounts"),
        ("/imports/poll", "max_accounts"),
        (f"/accounts/{uuid4()}/offers/{uuid4()}/accept", "max_accounts"),
    ],
    ids=["run", "preview", "poll", "accept"],
)
async def test_who_sends_what_is_not_read_is_told(world: Any, path: str, field: str) -> None:
    before = len((await people.read(world, "/assignments"))["results"])
    answer = await world.call("acme.admin", "POST", path, {field: 1})
    assert (answer.status_code, answer.json()["detail"]) == (422, f"{field}: there is no such field")
    assert len((await people.read(world, "/assignments"))["results"]) == before
    empty = await world.call("acme.admin", "POST", "/assignments?preview=true", {})
    assert empty.status_code == 200


@pytest.mark.parametrize(("query", "field"), [("?preview=perhaps", "preview"), ("?dry_run=true", "dry_run")])
async def test_what_cannot_be_asked_is_refused(world: Any, query: str, field: str) -> None:
    answer = await start(world, query)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_lifecycle_at_work_judges_commands_by_its_assignment_at_once(
    world: Any, temporal_client: Client
) -> None:
    """Its notice is not left to the schedule, which nobody makes here."""
    await limit(world, 100)
    async with working(world, temporal_client):
        for before in (await people.read(world, "/assignments"))["results"]:
            await ended(world, before)
        account = await people.place(world, await people.make(world), "90000.00")
        noted = await tell(world, account, "holds", {"kind": "opt_out_sms", "reason": "asked"})
        run = await ended(world, (await start(world)).json())
        shown = await people.read(world, f"/accounts/{account['id']}")
        moved = await tell(world, account, "transition", {"new_status": "in_contact"})

    assert noted.status_code == 201, noted.text
    assert run["assigned"] > 0
    assert shown["status"] == "assigned"
    assert moved.status_code == 200, moved.text
