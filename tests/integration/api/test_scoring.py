"""Scoring runs over REST: asked for, followed, refused, waiting for each other; real servers and workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import create_app
from api.composition import build_services
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.applications import application
from workers.deployment import make_current
from workers.worker import serving
from workflows import queues
from workflows.schedules import scoring_schedule_id

ACCOUNTS = 3_000
CHUNK = 1_000
RUN_FIELDS = {
    "id", "status", "total", "scored", "errors", "levels", "high_priority", "started_at", "completed_at",
    "changed", "rows_per_second", "eta_seconds", "chunks", "chunks_done", "top", "scorecard", "threshold",
    "origin", "requested_by", "reason", "web_ui_url", "batch_size", "import_id", "created_at", "updated_at",
}  # fmt: skip
JOBS = ("EMPLOYED", "UNEMPLOYED", "RETIRED", "", "ASTRONAUT")


def portfolio(count: int, prefix: str) -> bytes:
    """``count`` accounts of all sorts."""
    rows = (
        f"{prefix}-{n:05},Person {n},{100 + n}.00,{n % 5000},{n % 9},{JOBS[n % len(JOBS)]}"
        for n in range(count)
    )
    header = "external_ref,debtor_name,original_amount,monthly_income,late_payments_count,employment_status"
    return "\n".join((header, *rows, "")).encode()


@asynccontextmanager
async def working(world: Any, client: Client) -> AsyncIterator[None]:
    """A worker as `recoup worker` builds it, that admits no accounts."""
    settings = world.settings.model_copy(update={"lifecycle_capacity": 0})
    await make_current(client, settings.build_id)
    async with serving(settings, world.database, client, ObjectStorage(settings.storage_url)):
        yield


async def get(world: Any, path: str, who: str = "acme.admin") -> Any:
    answer = await world.call(who, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def start(world: Any, body: Any = None, **headers: str) -> Any:
    return await world.call("acme.admin", "POST", "/scoring/runs", body, **headers)


async def send(world: Any, content: bytes) -> None:
    async with world.client("acme.admin") as client:
        sent = await client.post("/imports", files={"file": ("a.csv", content)})
    assert sent.status_code == 202, sent.text


async def ended(world: Any, count: int) -> list[dict[str, Any]]:
    """The newest ``count`` runs, once they have ended; newest first."""
    found: list[dict[str, Any]] = []

    async def over() -> bool:
        found[:] = (await get(world, f"/scoring/runs?page_size={count}"))["results"]
        return len(found) == count and all(run["status"] in {"completed", "failed"} for run in found)

    await until(over, within_s=60, what="scoring runs to end")
    return found


def system(world: Any) -> Any:
    return world.database.transaction(Tenant.system(world.agencies["acme"], "test"))


async def give_up(world: Any, client: Client, run: dict[str, Any]) -> None:
    """End a run that no worker has taken up."""
    await client.get_workflow_handle(queues.scoring_workflow_id(UUID(run["id"]))).terminate()
    async with system(world) as tx:
        await tx.scoring_runs.fail(UUID(run["id"]), "given up by the test")


@pytest.fixture(scope="module")
async def stocked(world: Any, temporal_client: Client) -> dict[str, Any]:
    """The run that scored acme's accounts when they came in."""
    async with working(world, temporal_client):
        await send(world, portfolio(ACCOUNTS, "A"))
        [run] = await ended(world, 1)
    return run


def events_of(content: str) -> list[dict[str, str]]:
    """The fields of each server-sent event."""
    blocks = [block for block in content.replace("\r\n", "\n").split("\n\n") if "data:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_an_import_is_scored_and_its_run_is_told(stocked: dict[str, Any]) -> None:
    assert stocked.keys() == RUN_FIELDS
    assert (stocked["origin"], stocked["status"], stocked["requested_by"]) == (
        "import",
        "completed",
        "portfolio-scoring",
    )
    assert (stocked["scored"], stocked["changed"], stocked["errors"]) == (ACCOUNTS, ACCOUNTS, 0)
    assert stocked["scorecard"] == {"name": "recovery-v1", "version": 1}
    assert stocked["web_ui_url"].endswith(f"scoring%2F{stocked['import_id']}")


async def test_a_run_is_started_refused_a_second_time_and_followed_to_its_end(
    world: Any, stocked: dict[str, Any], temporal_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.scoring_runs.events, "_interval_s", 0.02)
    key = {"Idempotency-Key": uuid4().hex}
    body = {"batch_size": CHUNK, "threshold": "0"}

    first = await start(world, body, **key)
    again = await start(world, body, **key)
    second = await start(world)

    assert first.status_code == 202, first.text
    run = first.json()
    assert run.keys() == RUN_FIELDS
    assert (run["origin"], run["requested_by"], run["status"]) == ("manual", "acme.admin", "running")
    assert (run["threshold"], run["batch_size"], run["total"]) == ("0.00", CHUNK, 0)
    assert again.json() == run
    assert second.status_code == 409
    assert (second.json()["type"], second.json()["run_id"]) == (
        "urn:recoup:problem:scoring-run-going",
        run["id"],
    )
    description = await temporal_client.get_workflow_handle(f"scoring/{run['id']}").describe()
    assert description.status is WorkflowExecutionStatus.RUNNING
    assert str(world.agencies["acme"]) in str(description.typed_search_attributes)

    listening = asyncio.create_task(world.call("acme.auditor", "GET", f"/scoring/runs/{run['id']}/events"))
    watches = world.services.scoring_runs.events._watches

    async def at_its_beginning() -> bool:
        return any(watch.latest for watch in watches.values())

    await until(at_its_beginning, within_s=60, what="the run to be followed")
    async with working(world, temporal_client):
        heard = await asyncio.wait_for(listening, 60)
    events = events_of(heard.text)
    ids = [int(event["id"]) for event in events]
    assert [event["event"] for event in events] == ["progress"] * (len(events) - 1) + ["completed"]
    assert len(events) >= 2
    assert ids == sorted(set(ids))
    over = await get(world, f"/scoring/runs/{run['id']}")
    behind = {"Last-Event-ID": events[-1]["id"]}
    told = await world.call("acme.admin", "GET", f"/scoring/runs/{run['id']}/events", **behind)
    assert told.status_code == 204
    assert (over["status"], over["chunks"], over["chunks_done"]) == ("completed", 3, 3)
    assert (over["total"], over["scored"], over["errors"]) == (ACCOUNTS, ACCOUNTS, 0)
    # All are above a threshold of nothing: those that were not before have another priority now.
    assert 0 < stocked["high_priority"] < ACCOUNTS
    assert (over["high_priority"], over["changed"]) == (ACCOUNTS, ACCOUNTS - stocked["high_priority"])
    assert set(over["levels"]) == {"LOW", "MEDIUM", "HIGH", "CRITICAL"}
    assert sum(over["levels"].values()) == ACCOUNTS
    assert over["rows_per_second"] > 0
    assert over["eta_seconds"] == 0
    best = over["top"]
    assert len(best) == 10
    assert best[0]["external_ref"].startswith("A-")
    scores = [int(account["priority_score"].replace(".", "")) for account in best]
    assert scores == sorted(scores, reverse=True)
    account = await get(world, f"/accounts/{best[0]['account_id']}")
    assert account["external_ref"] == best[0]["external_ref"]
    assert account["priority_score"] == best[0]["priority_score"]
    async with system(world) as tx:
        query = "SELECT actor, new FROM audit_record WHERE action = 'scoring.started' AND entity_id = :run"
        [record] = (await tx.session.execute(text(query), {"run": run["id"]})).all()
    assert record.new == {"batch_size": CHUNK, "threshold": "0.00"}


async def test_of_many_started_at_once_one_runs(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    before = {run["id"] for run in (await get(world, "/scoring/runs"))["results"]}

    answers = await asyncio.gather(*(start(world) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    [run] = [answer.json() for answer in answers if answer.status_code == 202]
    assert {answer.json()["run_id"] for answer in answers if answer.status_code == 409} == {run["id"]}
    after = {run["id"] for run in (await get(world, "/scoring/runs"))["results"]}
    assert after - before == {run["id"]}, "who is refused leaves nothing behind"
    await give_up(world, temporal_client, run)


async def test_runs_of_all_origins_at_once_have_their_turns(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    schedule = scoring_schedule_id(world.agencies["acme"])
    manual = await start(world, {"batch_size": CHUNK})
    assert manual.status_code == 202, manual.text
    nightly = await world.call("acme.admin", "POST", f"/schedules/{schedule}/trigger")
    assert nightly.status_code == 202, nightly.text
    await send(world, portfolio(50, "B"))

    async with working(world, temporal_client):
        runs = await ended(world, 3)

    assert {run["origin"] for run in runs} == {"manual", "schedule", "import"}
    assert {run["status"] for run in runs} == {"completed"}
    turns = sorted((run["started_at"], run["completed_at"]) for run in runs)
    assert all(before[1] <= after[0] for before, after in pairwise(turns))
    by_origin = {run["origin"]: run for run in runs}
    assert by_origin["import"]["total"] == 50
    assert by_origin["schedule"]["scored"] >= ACCOUNTS
    assert by_origin["schedule"]["web_ui_url"].endswith(f"/schedules/{schedule.replace('/', '%2F')}")
    assert by_origin["schedule"]["threshold"] == "500000.00"


async def test_runs_are_listed_newest_first_by_pages_and_status(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    refused = (await start(world)).json()
    await give_up(world, temporal_client, refused)

    first = await get(world, "/scoring/runs?page_size=1")
    second = await get(world, first["next"].removeprefix("/api/v1"))
    back = await get(world, second["previous"].removeprefix("/api/v1"))
    failed = await get(world, "/scoring/runs?status=failed")
    everything = (await get(world, "/scoring/runs"))["results"]
    bad = await world.call("acme.admin", "GET", "/scoring/runs?status=lost")

    assert [run["id"] for run in first["results"]] == [refused["id"]]
    assert second["results"][0]["id"] == everything[1]["id"]
    assert back["results"] == first["results"]
    assert refused["id"] in {run["id"] for run in failed["results"]}
    assert {(run["status"], run["reason"]) for run in failed["results"]} == {
        ("failed", "given up by the test")
    }
    made = [run["created_at"] for run in everything]
    assert made == sorted(made, reverse=True)
    assert everything[-1]["id"] == stocked["id"]
    assert (bad.status_code, bad.json()["field"]) == (422, "status[0]")


async def test_accounts_that_could_not_be_scored_are_listed(world: Any, stocked: dict[str, Any]) -> None:
    ids = sorted(row["id"] for row in (await get(world, "/accounts?page_size=3"))["results"])
    async with system(world) as tx:
        await tx.scoring_runs.add_errors(UUID(stocked["id"]), [(UUID(i), f"no {i}") for i in ids])
    path = f"/scoring/runs/{stocked['id']}/errors"

    first = await get(world, f"{path}?page_size=2")
    second = await get(world, first["next"].removeprefix("/api/v1"))
    back = await get(world, second["previous"].removeprefix("/api/v1"), who="acme.auditor")

    assert first["results"] == [{"account_id": i, "error": f"no {i}"} for i in ids[:2]]
    assert [error["account_id"] for error in second["results"]] == ids[2:]
    assert second["next"] is None
    assert back["results"] == first["results"]


async def test_another_agencys_runs_are_not_there(world: Any, stocked: dict[str, Any]) -> None:
    for path in ("", "/errors", "/events"):
        answer = await world.call("rival.admin", "GET", f"/scoring/runs/{stocked['id']}{path}")
        assert answer.status_code == 404, answer.text
    assert (await get(world, "/scoring/runs", who="rival.admin"))["results"] == []


async def test_who_may_do_what(world: Any, stocked: dict[str, Any]) -> None:
    run = f"/scoring/runs/{stocked['id']}"
    statuses = {
        who: [
            (await world.call(who, method, path)).status_code
            for method, path in (
                ("GET", "/scoring/runs"),
                ("GET", run),
                ("GET", f"{run}/events"),
                ("GET", "/scorecards"),
                ("POST", "/scoring/runs"),
            )
        ]
        for who in ("acme.auditor", "acme.collector")
    }

    assert statuses == {"acme.auditor": [200, 200, 200, 200, 403], "acme.collector": [403] * 5}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"batch_size": 999}, "batch_size"),
        ({"batch_size": 100_001}, "batch_size"),
        ({"batch_size": "many"}, "batch_size"),
        ({"threshold": "-0.01"}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "1e400"}, "threshold"),
        ({"treshold": "1"}, "treshold"),
    ],
)
async def test_values_out_of_bounds_are_refused(world: Any, body: dict[str, Any], field: str) -> None:
    answer = await start(world, body)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_scorecard_that_is_not_known_here_is_said(world: Any) -> None:
    await set_scorecard(world, "gone-v9")
    try:
        answer = await start(world)
    finally:
        await set_scorecard(world, "recovery-v1")

    assert answer.status_code == 409
    assert "gone-v9" in answer.json()["detail"]
    assert "recovery-v1" in answer.json()["detail"]


async def test_a_run_that_the_workers_cannot_open_is_ended_with_the_reason(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    run = (await start(world)).json()
    await set_scorecard(world, "gone-v9")
    try:
        async with working(world, temporal_client):
            [over] = await ended(world, 1)
    finally:
        await set_scorecard(world, "recovery-v1")

    assert (over["id"], over["status"]) == (run["id"], "failed")
    assert "gone-v9" in over["reason"]


async def set_scorecard(world: Any, name: str) -> None:
    async with world.database.platform() as tx:
        await tx.agencies.change(world.agencies["acme"], {"scorecard": name})


async def test_nothing_is_left_of_a_run_that_temporal_could_not_take(
    world: Any, temporal_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await server.start()
    leaving = await Client.connect(server.address, data_converter=pydantic_data_converter)
    await server.stop()
    services = build_services(world.settings, world.database, leaving)
    alone = replace(world, services=services, app=application(create_app, world.settings, services))
    before = (await get(world, "/scoring/runs"))["results"]
    key = {"Idempotency-Key": uuid4().hex}

    with monkeypatch.context() as hasty:
        hasty.setattr("services.scoring_runs.PATIENCE", timedelta(seconds=0.5))
        refused = await start(alone, **key)
    after = (await get(world, "/scoring/runs"))["results"]
    retried = await start(world, **key)

    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert after == before
    assert retried.status_code == 202, retried.text
    await give_up(world, temporal_client, retried.json())


async def test_a_run_whose_answer_was_lost_is_found_by_its_key(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    started = (await start(world, **key)).json()
    async with system(world) as tx:
        # As though the process had died after the workflow began and before the commit.
        await tx.session.execute(text("DELETE FROM command"))
        await tx.session.execute(text("DELETE FROM scoring_run WHERE id = :run"), {"run": started["id"]})
    async with working(world, temporal_client):
        await temporal_client.get_workflow_handle(f"scoring/{started['id']}").result()
    run = await get(world, f"/scoring/runs/{started['id']}")
    again = await start(world, **key)

    assert (run["status"], run["scored"] >= ACCOUNTS) == ("completed", True)
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["status"]) == (started["id"], "completed")


async def test_scorecards_are_shown_as_a_regulator_asks(world: Any) -> None:
    cards = {card["name"]: card for card in (await get(world, "/scorecards"))["results"]}

    card = cards["recovery-v1"]
    assert {factor["name"]: factor["weight"] for factor in card["factors"]}["debt_ratio"] == 9
    assert [level["level"] for level in card["levels"]] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert "recovery-v1-ecoa" in cards


async def test_another_scorecard_scores_all_accounts_anew_at_once(
    world: Any, stocked: dict[str, Any], temporal_client: Client
) -> None:
    path = f"/agencies/{world.agencies['acme']}"
    async with working(world, temporal_client):
        for name in ("recovery-v1-ecoa", "recovery-v1"):
            known = {run["id"] for run in (await get(world, "/scoring/runs?page_size=500"))["results"]}
            answer = await world.call("platform", "PATCH", path, {"scorecard": name})
            assert answer.status_code == 200, answer.text

            async def scored(known: set[str] = known) -> bool:
                runs = (await get(world, "/scoring/runs?status=completed"))["results"]
                return bool(runs) and runs[0]["id"] not in known

            await until(scored, within_s=30, what="the accounts to be scored anew")
            run = (await get(world, "/scoring/runs?page_size=1"))["results"][0]
            assert (run["scorecard"]["name"], run["requested_by"]) == (name, "platform")
            assert run["scored"] == run["changed"] == run["total"] >= ACCOUNTS
