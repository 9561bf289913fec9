"""Automatic assignment on the real tables: who gets what, what is written, who comes between."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.assignment import AssignmentRef, FailedAssignment
from db.assignment_runs import AssignmentRunEnded
from domain.assignment import Assignment
from domain.errors import Conflict
from sandbox.processes import until
from tests.integration.assignment.conftest import ACCOUNTS, Office


async def test_the_best_accounts_go_to_collectors_with_room_and_the_value_is_in_balance(
    office: Office,
) -> None:
    few, many, nobody = await office.hire(5), await office.hire(30), await office.hire(9, active=False)
    best = await office.best()

    run = await office.assign()

    given = await office.given()
    assert set(given) == set(best[:35])
    assert Counter(given.values()) == {few: 5, many: 30}
    assert nobody not in given.values()
    assert (run["status"], run["assigned"], run["left_over"]) == ("completed", 35, ACCOUNTS - 35)
    balances = {row["id"]: row["balance_cents"] for row in await office.rows("id, balance_cents", "account")}
    assert run["shares"] == {
        str(collector): {
            "accounts": count,
            "cents": sum(balances[account] for account, owner in given.items() if owner == collector),
        }
        for collector, count in Counter(given.values()).items()
    }


async def test_collectors_with_room_end_within_one_account_of_each_other(office: Office) -> None:
    await office.hire(100)
    await office.hire(100)
    await office.hire(100)

    await office.assign()

    loads = await office.query(
        "SELECT sum(balance_cents) AS cents, max(balance_cents) AS largest FROM account"
        " WHERE agency_id = %s GROUP BY assigned_to",
        office.agency_id,
    )
    values = [load["cents"] for load in loads]
    assert len(loads) == 3
    assert max(values) - min(values) <= max(load["largest"] for load in loads)


async def test_only_open_accounts_that_are_assigned_count_and_only_workable_ones_are_given(
    office: Office,
) -> None:
    collector = await office.hire(4)
    disputed, closed, settled, held, paid, another = (await office.best())[:6]
    await office.change([disputed], f"status = 'disputed', assigned_to = '{collector}'")
    await office.change([closed], f"status = 'closed', assigned_to = '{collector}'")
    await office.change([settled], f"status = 'settled', assigned_to = '{collector}'")
    await office.change([held], "held = true")
    await office.change([paid], "balance = 0")
    await office.change([another], "status = 'disputed'")
    best = await office.best()

    await office.assign()

    given = await office.given()
    # The disputed one is still theirs to watch; what is settled or closed takes no place.
    assert set(given) == {disputed, closed, settled, *best[:3]}
    assert not {held, paid, another} & set(given)


async def test_collectors_who_cannot_log_in_get_nothing(office: Office) -> None:
    collector = await office.hire(4)
    await office.query(
        "UPDATE app_user SET active = false WHERE id = (SELECT user_id FROM collector WHERE id = %s)",
        collector,
    )

    run = await office.assign()

    assert (run["assigned"], run["left_over"], run["shares"]) == (0, ACCOUNTS, {})


async def test_what_a_run_writes(office: Office) -> None:
    collector = await office.hire(2, "Sarah Mitchell")
    new, moved = (await office.best())[:2]
    await office.change([moved], "status = 'in_contact'")
    before = {row["id"]: row for row in await office.rows("*", "account")}
    notices = {row["account_id"] for row in await office.rows("account_id", "lifecycle_notice")}

    run = await office.assign()

    after = {row["id"]: row for row in await office.rows("*", "account")}
    for account in (new, moved):
        assert after[account]["assigned_to"] == collector
        assert after[account]["version"] == before[account]["version"] + 1
        assert after[account]["updated_at"] > before[account]["updated_at"]
    assert (after[new]["status"], after[moved]["status"]) == ("assigned", "in_contact")
    assert sorted(office.told) == sorted([new, moved])
    events = await office.rows(
        "account_id, kind, old, new, actor, details", "timeline_event", "ORDER BY kind"
    )
    details = {"collector_id": str(collector), "run_id": str(run["id"])}
    told = [(event["account_id"], event["kind"], event["old"], event["new"]) for event in events]
    assert sorted(told, key=str) == sorted(
        [
            (new, "assigned", None, "Sarah Mitchell"),
            (new, "status_changed", "new", "assigned"),
            (moved, "assigned", None, "Sarah Mitchell"),
        ],
        key=str,
    )
    assert all((event["actor"], event["details"]) == ("auto-assignment", details) for event in events)
    audits = await office.rows("entity_id, actor_kind, old, new", "audit_record")
    assert {audit["entity_id"]: (audit["old"], audit["new"]) for audit in audits} == {
        str(account): (
            {"assigned_to": None, "status": old},
            {"assigned_to": str(collector), "status": status, "run_id": str(run["id"])},
        )
        for account, old, status in ((new, "new", "assigned"), (moved, "in_contact", "in_contact"))
    }
    scores = {
        row["account_id"]: row
        for row in await office.rows("*", "account_score", "AND collector_id IS NOT NULL")
    }
    assert set(scores) == {new, moved}
    for account, score in scores.items():
        assert (score["collector_id"], score["account_version"]) == (collector, after[account]["version"])
        assert score["queued"]
    told_of = {row["account_id"] for row in await office.rows("account_id", "lifecycle_notice")}
    assert told_of - notices == {new, moved}
    assert [row for row in after if after[row]["version"] != before[row]["version"]] in (
        [new, moved],
        [moved, new],
    )


async def test_a_second_run_finds_nothing_to_do(office: Office) -> None:
    await office.hire(10)
    await office.assign()
    given = await office.given()

    again = await office.assign()

    assert (again["assigned"], again["left_over"], again["shares"]) == (0, ACCOUNTS - 10, {})
    assert await office.given() == given


async def test_a_run_goes_on_where_it_stood_and_counts_each_account_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.assignment.CHUNK", 7)
    await office.hire(20)
    await office.hire(13)
    ref = await office.begin()

    # Repeated as though the answers were lost: after them there is nothing left to give.
    chunks = [await office.chunk(ref) for _ in range(8)]
    await ActivityEnvironment().run(office.steps.finish, ref)

    assert [chunk.assigned for chunk in chunks] == [7, 7, 7, 7, 5, 0, 0, 0]
    assert [chunk.more for chunk in chunks] == [True] * 4 + [False] * 4
    [run] = await office.rows("*", "assignment_run")
    assert (run["assigned"], len(await office.given())) == (33, 33)
    assert sum(share["accounts"] for share in run["shares"].values()) == 33


async def test_chunks_come_to_the_same_as_one(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for maximum in (9, 3, 17):
        await office.hire(maximum)
    await office.assign()
    at_once = await office.given()
    await office.query(
        "UPDATE account SET assigned_to = NULL, status = 'new', version = version + 1 WHERE agency_id = %s",
        office.agency_id,
    )
    await office.score()
    monkeypatch.setattr("activities.assignment.CHUNK", 4)

    await office.assign()

    assert await office.given() == at_once


async def test_a_manual_assignment_that_comes_first_stands(office: Office) -> None:
    automatic, manual = await office.hire(ACCOUNTS), await office.hire(0)
    contested, *_ = await office.best()
    ref = await office.begin()
    async with office.db.transaction(office.tenant) as tx:
        held = await tx.assignment.lock([contested])
        # The run has read that the account waits, and is now behind the one who assigns it by hand.
        running = asyncio.create_task(office.chunk(ref))
        done = await tx.assignment.assign([Assignment(contested, manual)], held, UUID(int=1))
        assert done == [contested]
        await _until_somebody_waits(office)
    chunk = await running

    given = await office.given()
    assert given[contested] == manual
    assert chunk.assigned == ACCOUNTS - 1
    assert Counter(given.values()) == {manual: 1, automatic: ACCOUNTS - 1}


async def _until_somebody_waits(office: Office) -> None:
    async def waits() -> bool:
        return bool(await office.query("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    await until(waits, within_s=60, what="the run to wait for the account")


async def test_an_account_of_another_version_is_left_as_it_is(office: Office) -> None:
    collector = await office.hire(5)
    first, second = (await office.best())[:2]
    async with office.db.transaction(office.tenant) as tx:
        versions = await tx.assignment.lock([first, second])
        done = await tx.assignment.assign(
            [Assignment(first, collector), Assignment(second, collector)],
            {first: versions[first] - 1, second: versions[second]},
            UUID(int=1),
        )

    assert done == [second]
    assert await office.given() == {second: collector}


async def test_two_runs_at_once_give_nobody_too_much(office: Office) -> None:
    collectors = [await office.hire(11), await office.hire(12)]
    first, second = await office.begin(), AssignmentRef(agency_id=office.agency_id, run_id=uuid4())
    async with office.db.transaction(office.tenant) as tx:
        await tx.assignment_runs.open(second.run_id, origin="manual", requested_by="test")

    chunks = await asyncio.gather(office.chunk(first), office.chunk(second))

    assert sorted(chunk.assigned for chunk in chunks) == [0, 23]
    assert Counter((await office.given()).values()) == dict(zip(collectors, (11, 12), strict=True))


async def test_another_agency_s_accounts_and_collectors_have_no_part(offices: tuple[Office, Office]) -> None:
    ours, theirs = offices
    mine = await ours.hire(1000)
    await theirs.hire(1000)

    await ours.assign()

    assert set((await ours.given()).values()) == {mine}
    assert await theirs.given() == {}
    assert await theirs.rows("id", "assignment_run") == []


async def test_without_a_scorecard_that_is_known_here_nothing_is_assigned(office: Office) -> None:
    await office.hire(5)
    await office.query("UPDATE agency SET scorecard = 'gone-v9' WHERE id = %s", office.agency_id)
    ref = await office.begin()

    with pytest.raises(Conflict, match="gone-v9"):
        await office.chunk(ref)
    failed = FailedAssignment(agency_id=ref.agency_id, run_id=ref.run_id, reason="gone-v9 is not known")
    await ActivityEnvironment().run(office.steps.fail, failed)

    assert await office.given() == {}
    [run] = await office.rows("*", "assignment_run")
    assert (run["status"], run["assigned"], run["reason"]) == ("failed", 0, "gone-v9 is not known")
    with pytest.raises(AssignmentRunEnded):
        await office.chunk(ref)


async def test_a_run_that_begins_gives_up_one_that_was_cut_off(office: Office) -> None:
    left, begun = await office.begin(), await office.begin()

    again = await office.begin(left.run_id)

    rows = {row["id"]: row["status"] for row in await office.rows("id, status", "assignment_run")}
    assert rows == {left.run_id: "failed", begun.run_id: "running"}
    assert again.over
