"""Schedules over REST, on a real Temporal server."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleOverlapPolicy,
    ScheduleRange,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from sandbox.processes import until
from workflows import queues
from workflows.schedules import (
    INSTALLATION,
    SCORING_CATCH_UP,
    declared,
    poll_schedule_id,
    schedule_ids,
    scoring_schedule_id,
    sweep_schedule_id,
)


@pytest.fixture
async def agency(world: Any) -> UUID:
    """The agency whose schedules a test may change, with its schedules as they were declared."""
    agency_id: UUID = world.agencies["acme"]
    await world.services.schedules.ensure(agency_id)
    return agency_id


async def shown(world: Any, who: str = "acme.admin") -> dict[str, dict[str, Any]]:
    answer = await world.call(who, "GET", "/schedules")
    assert answer.status_code == 200, answer.text
    return {schedule["id"]: schedule for schedule in answer.json()["results"]}


async def until_shown(world: Any, schedule_id: str, **wanted: object) -> dict[str, Any]:
    """The schedule once it is shown so: the server carries out a change a little after it has taken it."""

    async def so() -> bool:
        now = (await shown(world))[schedule_id]
        return all(now[name] == value for name, value in wanted.items())

    await until(so, within_s=60, what=f"the schedule to be {wanted}")
    return (await shown(world))[schedule_id]


async def described(client: Client, schedule_id: str) -> Schedule:
    return (await client.get_schedule_handle(schedule_id).describe()).schedule


async def test_an_agency_is_made_with_its_schedules(world: Any, agency: UUID) -> None:
    schedules = await shown(world)

    assert set(schedules) == set(schedule_ids(agency))
    poll = schedules[poll_schedule_id(agency)]
    assert (poll["workflow"], poll["spec"], poll["paused"]) == ("PortfolioPoll", "every 15 minutes", False)
    assert len(poll["next_runs"]) == 5
    assert schedules[sweep_schedule_id(agency)]["workflow"] == "Admission"


async def test_all_accounts_are_scored_each_night(world: Any, agency: UUID, temporal_client: Client) -> None:
    nightly = (await shown(world))[scoring_schedule_id(agency)]
    schedule = await described(temporal_client, scoring_schedule_id(agency))

    assert nightly["workflow"] == "PortfolioScoring"
    assert nightly["spec"] == "every day at 04:30 America/New_York"
    here = [
        datetime.fromisoformat(at).astimezone(ZoneInfo("America/New_York")) for at in nightly["next_runs"]
    ]
    assert {(at.hour, at.minute) for at in here} == {(4, 30)}
    assert {later - earlier for earlier, later in pairwise(here)} == {timedelta(days=1)}
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert schedule.policy.catchup_window == SCORING_CATCH_UP
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert schedule.action.priority.fairness_key == str(agency)


async def test_the_night_moves_with_the_agency(world: Any, agency: UUID) -> None:
    path, picked = f"/agencies/{agency}", {"X-Agency": str(agency)}
    schedule_id = scoring_schedule_id(agency)
    await world.call("acme.admin", "POST", f"/schedules/{schedule_id}/pause", {"note": "audit"})
    await until_shown(world, schedule_id, paused=True)

    moved = await world.call("platform", "PATCH", path, {"time_zone": "America/Phoenix"}, **picked)
    assert moved.status_code == 200, moved.text
    nightly = await until_shown(world, schedule_id, spec="every day at 04:30 America/Phoenix")
    await world.call("platform", "PATCH", path, {"time_zone": "America/New_York"}, **picked)
    await until_shown(world, schedule_id, spec="every day at 04:30 America/New_York")
    await world.call("acme.admin", "POST", f"/schedules/{schedule_id}/resume")

    assert (nightly["paused"], nightly["note"]) == (True, "audit")


async def test_times_that_somebody_has_changed_are_not_told_wrongly(
    world: Any, agency: UUID, temporal_client: Client
) -> None:
    def spoil(present: ScheduleUpdateInput) -> ScheduleUpdate:
        spoilt = present.description.schedule
        spoilt.spec.calendars[0].hour = [ScheduleRange(1, 5)]
        return ScheduleUpdate(spoilt)

    await temporal_client.get_schedule_handle(scoring_schedule_id(agency)).update(spoil)

    await until_shown(world, scoring_schedule_id(agency), spec="at times set by hand America/New_York")


async def test_ensuring_again_mends_the_declaration_and_keeps_the_pause(
    world: Any, agency: UUID, temporal_client: Client
) -> None:
    schedule_id = poll_schedule_id(agency)
    handle = temporal_client.get_schedule_handle(schedule_id)

    # The server takes a change at once and carries it out a little later, over one that came in meanwhile.
    async def paused() -> bool:
        await handle.pause(note="creditor moves house")
        return (await described(temporal_client, schedule_id)).state.paused

    await until(paused, within_s=60, what="the schedule to be paused")

    def spoil(present: ScheduleUpdateInput) -> ScheduleUpdate:
        spoilt = present.description.schedule
        spoilt.spec.intervals[0].every = timedelta(days=3)
        spoilt.policy.catchup_window = timedelta(seconds=10)
        return ScheduleUpdate(spoilt)

    async def runs_every(period: timedelta) -> bool:
        return (await described(temporal_client, schedule_id)).spec.intervals[0].every == period

    await handle.update(spoil)
    await until(lambda: runs_every(timedelta(days=3)), within_s=60, what="the schedule to be spoilt")
    await world.services.schedules.ensure(agency)
    await until(lambda: runs_every(timedelta(minutes=15)), within_s=60, what="the schedule to be mended")

    schedule = await described(temporal_client, schedule_id)
    wanted = declared(agency, time_zone="UTC", poll_every=timedelta(minutes=15))[0]
    assert schedule.state.paused
    assert schedule.state.note == "creditor moves house"
    assert schedule.policy.catchup_window == wanted.catch_up
    await handle.unpause()


async def test_pausing_and_resuming(world: Any, agency: UUID, temporal_client: Client) -> None:
    path = f"/schedules/{poll_schedule_id(agency)}"

    paused = await world.call("acme.admin", "POST", f"{path}/pause", {"note": "holiday"})
    resumed = await world.call("acme.admin", "POST", f"{quote(path, safe='/')}/resume")

    assert (paused.status_code, resumed.status_code) == (200, 200)
    assert (paused.json()["paused"], paused.json()["note"], paused.json()["next_runs"]) == (
        True,
        "holiday",
        [],
    )
    assert (resumed.json()["paused"], resumed.json()["note"]) == (False, "resumed by acme.admin")
    assert not (await described(temporal_client, poll_schedule_id(agency))).state.paused


async def test_triggering_starts_a_run_and_refuses_a_second(
    world: Any, agency: UUID, temporal_client: Client
) -> None:
    schedule_id = poll_schedule_id(agency)
    key = {"Idempotency-Key": uuid4().hex}

    first = await world.call("acme.admin", "POST", f"/schedules/{schedule_id}/trigger", **key)
    assert first.status_code == 202, first.text
    async with asyncio.timeout(60):
        while not (going := (await shown(world))[schedule_id]["running"]):
            await asyncio.sleep(0.05)
    repeated = await world.call("acme.admin", "POST", f"/schedules/{schedule_id}/trigger", **key)
    second = await world.call("acme.admin", "POST", f"/schedules/{schedule_id}/trigger")

    assert repeated.status_code == 202
    assert second.status_code == 409
    assert second.json()["running"] == [going[0]["workflow_id"]]
    handle = temporal_client.get_workflow_handle(going[0]["workflow_id"])
    description = await handle.describe()
    assert description.workflow_type == "PortfolioPoll"
    assert description.task_queue == queues.LIFECYCLE
    assert str(agency) in str(description.typed_search_attributes)
    assert (await shown(world))[schedule_id]["last_runs"][0]["workflow_id"] == going[0]["workflow_id"]
    await handle.terminate()


async def test_another_agencys_schedule_is_not_there(world: Any, agency: UUID) -> None:
    rivals = await shown(world, "rival.admin")

    assert set(rivals).isdisjoint(schedule_ids(agency))
    for action in ("trigger", "pause", "resume"):
        for schedule_id in (poll_schedule_id(agency), "portfolio-poll", f"portfolio-poll/{uuid4()}"):
            answer = await world.call("rival.admin", "POST", f"/schedules/{schedule_id}/{action}")
            assert answer.status_code == 404, answer.text


async def test_who_may_do_what(world: Any, agency: UUID) -> None:
    path = f"/schedules/{sweep_schedule_id(agency)}/pause"
    statuses = {
        who: (
            (await world.call(who, "GET", "/schedules")).status_code,
            (await world.call(who, "POST", path)).status_code,
        )
        for who in ("acme.auditor", "acme.collector")
    }

    assert statuses == {"acme.auditor": (200, 403), "acme.collector": (403, 403)}


async def test_the_installation_has_its_own_which_stay_as_they_were_left(
    world: Any, temporal_client: Client
) -> None:
    [wanted] = INSTALLATION
    handle = temporal_client.get_schedule_handle(wanted.id)

    async def paused() -> bool:
        await handle.pause(note="while we look")
        return (await described(temporal_client, wanted.id)).state.paused

    await until(paused, within_s=60, what="the schedule to be paused")
    for _ in range(2):
        await world.services.schedules.ensure_installation()
    found = await described(temporal_client, wanted.id)
    assert (found.state.paused, found.state.note) == (True, "while we look")
    assert isinstance(found.action, ScheduleActionStartWorkflow)
    assert found.action.workflow == "PartitionMaintenance"
    [shown_to_the_operator] = await world.services.schedules.of_installation()
    assert (shown_to_the_operator.spec, shown_to_the_operator.paused) == ("every day at 00:20 UTC", True)
    await handle.unpause()
    # It is nobody's own: an agency neither sees nor starts it.
    assert wanted.id not in await shown(world)
    answer = await world.call("acme.admin", "POST", f"/schedules/{wanted.id}/trigger")
    assert answer.status_code == 404


async def test_a_deactivated_agency_has_none(world: Any, temporal_client: Client) -> None:
    agency_id = world.agencies["rival"]
    picked = {"X-Agency": str(agency_id)}

    async def set_active(*, active: bool) -> None:
        answer = await world.call("platform", "PATCH", f"/agencies/{agency_id}", {"active": active}, **picked)
        assert answer.status_code == 200, answer.text

    await set_active(active=False)
    for schedule_id in schedule_ids(agency_id):
        with pytest.raises(RPCError, match="not found"):
            await described(temporal_client, schedule_id)
    await world.services.schedules.ensure(agency_id)
    await set_active(active=True)

    assert await described(temporal_client, poll_schedule_id(agency_id))
