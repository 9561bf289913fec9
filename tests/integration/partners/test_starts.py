"""Asking for reconciliations while nobody works: one at a time for each partner, and for whom."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from domain.tenancy import Tenant
from sandbox.processes import until
from tests.integration.partners.office import Json, PartnerOffice, now
from workflows.schedules import partner_schedule_id


@pytest.fixture
async def partner(empty_office: PartnerOffice) -> AsyncIterator[Json]:
    """A partner of this test's own, with whom nothing is left at work."""
    office, made = empty_office, await empty_office.partner()
    yield made
    runs = await office.done("GET", f"/reconciliations?partner_id={made['id']}&status=pending")
    for run in runs["results"]:
        await office.process(run).terminate()


async def test_of_many_that_ask_at_once_one_starts(empty_office: PartnerOffice, partner: Json) -> None:
    office = empty_office
    answers = await asyncio.gather(*(office.start(partner) for _ in range(8)))
    [started] = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(refused) == 7
    assert {answer.json()["run_id"] for answer in refused} == {started.json()["id"]}
    assert refused[0].json()["type"].endswith("partner-reconciliation-going")
    run = started.json()
    assert (run["status"], run["partner_id"], run["scope"], run["dry_run"]) == (
        "pending", partner["id"], "full", False,
    )  # fmt: skip
    assert (await office.start(await office.partner())).status_code == 202
    listed = await office.done("GET", f"/reconciliations?partner_id={partner['id']}")
    assert [one["id"] for one in listed["results"]] == [run["id"]]


async def test_a_repeated_key_gets_the_first_answer(empty_office: PartnerOffice, partner: Json) -> None:
    office, key = empty_office, uuid4().hex
    path = f"/partners/{partner['id']}/reconciliations"
    answers = [
        await office.ask("acme.admin", "POST", path, {"dry_run": True}, **{"Idempotency-Key": key})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    other = await office.ask("acme.admin", "POST", path, {"dry_run": False}, **{"Idempotency-Key": key})
    assert other.status_code == 422
    records = await office.query(
        "SELECT actor, new FROM audit_record WHERE action = 'partner_reconciliation.started'"
        " AND entity_id = :id",
        id=answers[0].json()["id"],
    )
    assert [tuple(row) for row in records] == [("acme.admin", {"scope": "full", "dry_run": True})]


@pytest.mark.parametrize(
    ("who", "start", "read"),
    [
        ("acme.admin", 202, 200),
        ("acme.auditor", 403, 200),
        ("acme.collector", 403, 403),
        ("rival.admin", 404, 404),
        (None, 401, 401),
    ],
)
async def test_who_may_ask_and_see(
    empty_office: PartnerOffice, partner: Json, who: str, start: int, read: int
) -> None:
    office = empty_office
    run = (await office.start(partner)).json()
    other = await office.partner()
    assert (await office.ask(who, "POST", f"/partners/{other['id']}/reconciliations")).status_code == start, (
        who
    )
    for path in ("", "/breaks", "/report", "/report?format=csv"):
        assert (await office.ask(who, "GET", f"/reconciliations/{run['id']}{path}")).status_code == read
    if who == "rival.admin":
        assert (await office.done("GET", "/reconciliations", who=who))["results"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("POST", "/partners/{partner}/reconciliations", {"scope": "all"}, 422, "scope"),
        ("POST", "/partners/{partner}/reconciliations", {"days": 3}, 422, "days"),
        ("POST", f"/partners/{UUID(int=7)}/reconciliations", {}, 404, "partner"),
        ("GET", f"/reconciliations/{UUID(int=7)}", None, 404, "reconciliation"),
        ("GET", f"/reconciliations/{UUID(int=7)}/report?format=csv", None, 404, "reconciliation"),
        ("GET", f"/reconciliations/{UUID(int=7)}/breaks", None, 404, "reconciliation"),
        ("GET", "/reconciliations?status=done", None, 422, "status"),
        ("GET", "/reconciliations?parter=1", None, 422, "parter"),
        ("GET", "/reconciliations?cursor=abc", None, 422, "cursor"),
    ],
)
async def test_what_cannot_be_asked(
    empty_office: PartnerOffice, partner: Json, method: str, path: str, body: Json, status: int, word: str
) -> None:
    answer = await empty_office.ask("acme.admin", method, path.format(partner=partner["id"]), body)
    assert answer.status_code == status
    assert word in answer.text


async def test_nothing_is_compared_with_a_partner_that_is_not_active(
    empty_office: PartnerOffice, partner: Json
) -> None:
    await empty_office.done("PATCH", f"/partners/{partner['id']}", {"active": False})
    answer = await empty_office.start(partner)
    assert (answer.status_code, answer.json()["title"]) == (409, "The partner is not active")
    assert (await empty_office.done("GET", f"/reconciliations?partner_id={partner['id']}"))["results"] == []


async def test_a_run_whose_workflow_was_terminated_is_given_up_for_the_next(
    empty_office: PartnerOffice, partner: Json
) -> None:
    office = empty_office
    await office.say(partner, {"account_ref": "X", "balance": 1, "status": "PAID", "processed_at": now()})
    lost = (await office.start(partner)).json()
    assert (await office.start(partner)).json()["run_id"] == lost["id"]
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        await tx.partner_runs.begin(UUID(lost["id"]))
        await tx.statements.close_for(UUID(lost["id"]), "full")
    await office.process(lost).terminate()
    answers = await asyncio.gather(*(office.start(partner) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    seen = await office.done("GET", f"/reconciliations/{lost['id']}")
    assert seen["status"] == "failed"
    assert "ended by somebody" in seen["reason"]
    [statement] = (await office.done("GET", f"/partners/{partner['id']}/statements"))["results"]
    assert (statement["state"], statement["run_id"]) == ("staged", None)


async def test_a_terminated_run_is_not_given_up_while_one_of_its_steps_is_at_work(
    empty_office: PartnerOffice, partner: Json
) -> None:
    office = empty_office
    lost = (await office.start(partner)).json()
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        await tx.partner_runs.begin(UUID(lost["id"]))
    await office.process(lost).terminate()
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        await tx.partner_runs.going(UUID(lost["id"]), lock=True)
        answer = await office.start(partner)
        assert (answer.status_code, answer.json()["run_id"]) == (409, lost["id"])
    assert (await office.start(partner)).status_code == 202


async def test_a_run_that_does_not_know_its_workflow_is_given_up_in_time(
    empty_office: PartnerOffice, partner: Json
) -> None:
    office = empty_office
    lost = (await office.start(partner)).json()
    await office.process(lost).terminate()
    await office.query(
        "UPDATE partner_reconciliation SET workflow_id = NULL WHERE id = :id", id=UUID(lost["id"])
    )
    assert (await office.start(partner)).status_code == 409
    await office.query(
        "UPDATE partner_reconciliation SET created_at = created_at - interval '6 hours 1 minute'"
        " WHERE id = :id",
        id=UUID(lost["id"]),
    )
    assert (await office.start(partner)).status_code == 202
    seen = await office.done("GET", f"/reconciliations/{lost['id']}")
    assert seen["status"] == "failed"
    assert "given up" in seen["reason"]


async def test_a_partner_has_a_schedule_while_it_is_active_and_has_a_time(
    empty_office: PartnerOffice,
) -> None:
    office = empty_office
    partner = await office.partner(reconcile_at="06:30")
    schedule_id = partner_schedule_id(UUID(partner["id"]))

    async def shown() -> Json | None:
        listed = await office.done("GET", "/schedules")
        return {one["id"]: one for one in listed["results"]}.get(schedule_id)

    found = await shown()
    assert found is not None
    assert (found["workflow"], found["spec"]) == (
        "PartnerReconciliation",
        "every day at 06:30 America/New_York",
    )
    await office.done("PATCH", f"/partners/{partner['id']}", {"reconcile_at": "07:45"})

    async def moved() -> bool:
        found = await shown()
        return found is not None and "07:45" in found["spec"]

    await until(moved, within_s=60, what="the schedule to move")
    for change in ({"active": False}, {"active": True, "reconcile_at": None}):
        await office.done("PATCH", f"/partners/{partner['id']}", change)
        assert await shown() is None
        trigger = await office.ask("acme.admin", "POST", f"/schedules/{schedule_id}/trigger")
        assert trigger.status_code == 404
    rival = {one["id"] for one in (await office.done("GET", "/schedules", who="rival.admin"))["results"]}
    assert schedule_id not in rival
