"""Reconciliations over REST with a real worker: what they take, what they find, what they say of it."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.partner_runs import NOT_THERE
from api.reconciliation_metrics import FRESH_S, ReconciliationMetrics
from sandbox.processes import until
from services import partner_reports
from tests.integration.imports.faults import GatedSftp
from tests.integration.partners.office import Json, PartnerOffice, now, statement
from workflows.schedules import partner_schedule_id

ROOT = "http://test"
NOT_WHOLE = "as not every file could be taken, nothing was called missing there"


def kinds(breaks: list[Json]) -> list[tuple[str, str]]:
    return sorted((one["kind"], one["account_ref"]) for one in breaks)


def by_kind(counts: list[Json]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in counts:
        found[one["kind"]] = found.get(one["kind"], 0) + one["count"]
    return found


async def test_a_file_and_messages_are_compared_in_one_run(office: PartnerOffice, partner: Json) -> None:
    agrees, differs, paid, told = await office.accounts(4)
    office.send(
        partner,
        [
            (agrees["external_ref"], "100.00", "UNPAID"),
            (differs["external_ref"], "40.00", "PARTIAL"),
            (paid["external_ref"], "0.00", "PAID"),
            ("=NOBODY()", "5.00", "UNPAID"),
            (differs["external_ref"], "", ""),
        ],
    )
    said = {"account_ref": told["external_ref"], "balance": "90.00", "status": "PARTIAL"}
    assert [one["outcome"] for one in await office.say(partner, said | {"processed_at": now()})] == [
        "accepted"
    ]
    run = await office.reconciled(partner)

    assert (run["status"], run["reason"], run["step"]) == ("completed", None, None)
    assert (run["lines"], run["problems"], run["matched"]) == (6, 1, 4)
    found = await office.breaks(run)
    assert kinds(found) == sorted(
        [
            ("balance", differs["external_ref"]),
            ("balance", paid["external_ref"]),
            ("balance", told["external_ref"]),
            ("missing_here", "=NOBODY()"),
            ("status", paid["external_ref"]),
        ]
    )
    assert run["breaks"] == len(found)
    assert office.lying(partner) == []
    assert [name.partition("-")[2][-13:] for name in office.lying(partner, "processed")] == ["statement.csv"]
    await the_report_says_so(office, run, found)


async def the_report_says_so(office: PartnerOffice, run: Json, found: list[Json]) -> None:
    path = f"/reconciliations/{run['id']}/report"
    report = await office.done("GET", path, who="acme.auditor")
    assert report["run"] == run
    assert report["matched_share"] == "0.6667"
    assert by_kind(report["opened_by"]) == {"balance": 3, "missing_here": 1, "status": 1}
    assert by_kind(report["open_by"]) == by_kind(report["opened_by"])
    assert {one["age"] for one in report["open_by"]} == {"0-1"}
    assert [(one["rule"], one["count"]) for one in report["matched_by"]] == [("reference", 4)]
    [messages, file] = sorted(report["statements"], key=lambda one: str(one["channel"]), reverse=True)
    assert (file["name"], file["lines"], file["problems"]) == ("statement.csv", 5, 1)
    assert (messages["channel"], messages["lines"]) == ("messages", 1)
    for asked in (
        await office.ask("acme.auditor", "GET", f"{path}?format=csv"),
        await office.ask("acme.auditor", "GET", path, Accept="text/csv"),
    ):
        assert asked.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(asked.text)))
        assert [row["id"] for row in rows] == [one["id"] for one in found]
        [nobody] = [row for row in rows if row["kind"] == "missing_here"]
        assert nobody["account_ref"] == "'=NOBODY()"
        assert {row["difference"] for row in rows} == {one["difference"] for one in found}
    both = await office.ask("acme.auditor", "GET", path, Accept="text/csv, application/json")
    assert both.headers["content-type"] == "application/json"


async def test_the_breaks_of_a_run_come_in_pages_and_the_file_in_portions(
    office: PartnerOffice, partner: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partner_reports, "ROWS_AT_ONCE", 2)
    office.send(partner, [(f"NOBODY-{n}", "1.00", "UNPAID") for n in range(5)])
    run = await office.reconciled(partner)
    path, seen = f"/reconciliations/{run['id']}/breaks?page_size=2&kind=missing_here", []
    while path:
        page = await office.done("GET", path)
        seen += [one["account_ref"] for one in page["results"]]
        path = (page["next"] or "").removeprefix(f"{ROOT}/api/v1")
    assert sorted(seen) == [f"NOBODY-{n}" for n in range(5)]
    asked = await office.ask("acme.admin", "GET", f"/reconciliations/{run['id']}/report?format=csv")
    assert [row["account_ref"] for row in csv.DictReader(io.StringIO(asked.text))] == seen
    none = await office.done("GET", f"/reconciliations/{run['id']}/breaks?state=resolved")
    assert none["results"] == []


async def test_the_next_statement_cures_and_says_which_are_still_there(
    office: PartnerOffice, partner: Json
) -> None:
    first, second = await office.accounts(2)
    lines = [(one["external_ref"], "10.00", "PARTIAL") for one in (first, second)]
    office.send(partner, lines, "monday.csv")
    monday = await office.reconciled(partner)
    assert (monday["breaks"], monday["cured"]) == (2, 0)

    lines[0] = (first["external_ref"], "100.00", "UNPAID")
    office.send(partner, lines, "tuesday.csv")
    tuesday = await office.reconciled(partner)

    assert (tuesday["breaks"], tuesday["cured"]) == (1, 1)
    [still] = await office.breaks(tuesday)
    assert (still["account_ref"], still["run_id"]) == (second["external_ref"], monday["id"])
    [gone] = [one for one in await office.breaks(monday) if one["state"] == "resolved"]
    assert (gone["account_ref"], gone["resolution"]) == (first["external_ref"], "cured")
    report = await office.done("GET", f"/reconciliations/{tuesday['id']}/report")
    assert report["opened"] == 0
    assert by_kind(report["resolved_by"]) == {"balance": 1}


async def test_what_an_earlier_run_found_stays_on_its_list_whatever_later_ones_find(
    office: PartnerOffice, partner: Json
) -> None:
    rules = "resolve:\n- {kind: timing, within_days: 5}\n"
    await office.done("PUT", f"/partners/{partner['id']}/rules", {"rules": rules})
    one, two, paid = await office.accounts(3)
    await office.pays(paid, "40.00")
    before = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    lines: list[Any] = [(account["external_ref"], "10.00", "PARTIAL") for account in (one, two)]
    late = (paid["external_ref"], "100.00", "UNPAID", before)
    days = []
    for day in range(4):
        kept = lines if day < 3 else lines[:1]
        office.send(partner, [*kept, late, (f"NOBODY-{day}", "1.00", "UNPAID")], f"{day}.csv")
        days.append(await office.reconciled(partner))
    for day, run in enumerate(days):
        found = {(line["kind"], line["account_ref"]) for line in await office.breaks(run)}
        assert found == {
            *(("balance", account["external_ref"]) for account in ((one, two) if day < 3 else (one,))),
            *([("missing_there", two["external_ref"])] if day == 3 else []),
            ("timing", paid["external_ref"]),
            ("missing_here", f"NOBODY-{day}"),
        }
        asked = await office.ask("acme.admin", "GET", f"/reconciliations/{run['id']}/report?format=csv")
        assert {row["account_ref"] for row in csv.DictReader(io.StringIO(asked.text))} == {
            line[1] for line in found
        }
        assert run["breaks"] == len(found)


async def test_the_same_statement_twice_changes_nothing(office: PartnerOffice, partner: Json) -> None:
    account = await office.account()
    text = statement([(account["external_ref"], "10.00", "PARTIAL")])
    office.send(partner, text)
    first = await office.reconciled(partner)
    [found] = await office.breaks(first)
    office.send(partner, text, "again.csv")
    second = await office.reconciled(partner)
    assert (second["status"], second["lines"], second["breaks"], second["cured"]) == ("completed", 0, 0, 0)
    assert [one | {"owner": None} for one in await office.breaks(first)] == [found]
    report = await office.done("GET", f"/reconciliations/{second['id']}/report")
    assert report["problems"] == ["again.csv: its content came before and changes nothing"]
    assert report["matched_share"] is None
    assert office.lying(partner) == []


async def test_a_dry_run_counts_and_leaves_all_as_it_is(office: PartnerOffice, partner: Json) -> None:
    account = await office.account()
    office.send(partner, [(account["external_ref"], "10.00", "PARTIAL"), ("NOBODY", "1.00", "UNPAID")])
    dry = await office.reconciled(partner, dry_run=True)
    assert (dry["dry_run"], dry["lines"], dry["matched"], dry["breaks"]) == (True, 2, 1, 2)
    assert await office.breaks(dry) == []
    report = await office.done("GET", f"/reconciliations/{dry['id']}/report")
    assert {one["kind"]: one["count"] for one in report["matching"]["kinds"]} == {
        "balance": 1,
        "missing_here": 1,
    }
    assert report["opened_by"] == []
    assert office.lying(partner) == ["statement.csv"]
    assert (await office.done("GET", f"/breaks?partner_id={partner['id']}"))["results"] == []

    real = await office.reconciled(partner)
    assert [real[name] for name in ("lines", "matched", "breaks")] == [
        dry[name] for name in ("lines", "matched", "breaks")
    ]
    assert office.lying(partner) == []


async def test_messages_alone_leave_files_where_they_lie_and_miss_nothing(
    office: PartnerOffice, partner: Json
) -> None:
    named, unnamed = await office.accounts(2)
    office.send(partner, [(one["external_ref"], "100.00", "UNPAID") for one in (named, unnamed)])
    await office.reconciled(partner)
    office.send(partner, [(unnamed["external_ref"], "100.00", "UNPAID")], "next.csv")
    said = {"account_ref": named["external_ref"], "balance": "-100.00", "status": "PARTIAL"}
    await office.say(partner, said | {"processed_at": now()})
    run = await office.reconciled(partner, scope="messages")
    [found] = await office.breaks(run)
    assert (found["kind"], found["ours"], found["theirs"]) == ("balance", "100.00", "-100.00")
    assert office.lying(partner) == ["next.csv"]


async def test_what_may_stand_in_a_file_that_was_refused_is_not_missed(
    office: PartnerOffice, partner: Json
) -> None:
    named, unnamed = await office.accounts(2)
    office.send(partner, [(one["external_ref"], "100.00", "UNPAID") for one in (named, unnamed)])
    await office.reconciled(partner)
    office.send(partner, "account_ref,balance\n", "broken.csv")
    office.send(partner, [(named["external_ref"], "100.00", "UNPAID")], "part.csv")
    run = await office.reconciled(partner)
    assert (run["status"], await office.breaks(run)) == ("completed", [])
    report = await office.done("GET", f"/reconciliations/{run['id']}/report")
    assert [line.partition(":")[0] for line in report["problems"]] == [
        "broken.csv",
        NOT_WHOLE,
    ]
    office.send(partner, [(named["external_ref"], "100.00", "UNPAID")], "whole.csv")
    assert kinds(await office.breaks(await office.reconciled(partner))) == [
        ("missing_there", unnamed["external_ref"])
    ]


async def test_what_may_stand_in_a_folder_that_is_not_there_is_not_missed(
    office: PartnerOffice, partner: Json
) -> None:
    named, unnamed = await office.accounts(2)
    office.send(partner, [(one["external_ref"], "100.00", "UNPAID") for one in (named, unnamed)])
    await office.reconciled(partner)
    folder = office.folder(partner["name"])
    folder.rename(folder.with_name(f"{partner['name']}-away"))
    said = {"account_ref": named["external_ref"], "balance": "100.00", "status": "UNPAID"}
    await office.say(partner, said | {"processed_at": now()})
    run = await office.reconciled(partner)
    assert (run["status"], run["lines"], await office.breaks(run)) == ("completed", 1, [])
    report = await office.done("GET", f"/reconciliations/{run['id']}/report")
    assert report["problems"][-1] == NOT_WHOLE
    assert len(report["problems"]) == 2


async def test_a_run_that_cannot_reach_the_folder_fails_and_loses_no_message(
    office: PartnerOffice, partner: Json
) -> None:
    account = await office.account()
    said = {"account_ref": account["external_ref"], "balance": "1.00", "status": "PARTIAL"}
    await office.say(partner, said | {"processed_at": now()})
    await office.query("UPDATE sftp_source SET username = 'nobody' WHERE id = :id", id=office.source_id)
    failed = await office.reconciled(partner)
    await office.query("UPDATE sftp_source SET username = 'acme' WHERE id = :id", id=office.source_id)
    assert failed["status"] == "failed"
    assert "log" in failed["reason"]
    run = await office.reconciled(partner)
    assert (run["status"], run["lines"], run["breaks"]) == ("completed", 1, 1)


async def test_a_run_whose_rules_cannot_be_read_gives_its_statements_to_the_next(
    office: PartnerOffice, partner: Json
) -> None:
    account = await office.account()
    office.send(partner, [(account["external_ref"], "1.00", "PARTIAL")])
    spoil = (
        "INSERT INTO partner_rules (agency_id, partner_id, version, body, sha256, created_by)"
        " VALUES (:agency, :id, 1, 'resolve: [{kind: luck}]', 'x', 'test')"
    )
    await office.query(spoil, agency=office.agency_id, id=UUID(partner["id"]))
    failed = await office.reconciled(partner)
    assert (failed["status"], failed["rules_version"]) == ("failed", 1)
    assert "resolve" in failed["reason"]
    assert office.lying(partner) == ["statement.csv"]
    await office.done("PUT", f"/partners/{partner['id']}/rules", {"rules": "resolve: []"})
    run = await office.reconciled(partner)
    assert (run["status"], run["rules_version"], run["lines"], run["breaks"]) == ("completed", 2, 1, 1)
    assert office.lying(partner) == []


async def test_money_that_comes_in_while_a_statement_is_read_is_no_difference(
    office: PartnerOffice, partner: Json, door: GatedSftp
) -> None:
    account = await office.account()
    office.send(partner, [(account["external_ref"], "100.00", "UNPAID")])
    gate = door.hold_read("acme", 0)
    try:
        answer = await office.start(partner)
        await gate.reached()
        going = await office.done("GET", f"/reconciliations/{answer.json()['id']}")
        assert (going["status"], going["step"]) == ("running", "collecting")
        assert (await office.start(partner)).json()["run_id"] == going["id"]
        await office.pays(account, "30.00")
    finally:
        gate.open()
    run = await office.ended(answer.json())
    [found] = await office.breaks(run)
    assert (found["kind"], found["ours"], found["theirs"]) == ("timing", "70.00", "100.00")


async def test_a_schedule_starts_runs_and_leaves_out_what_is_going(
    office: PartnerOffice, door: GatedSftp
) -> None:
    partner = await office.partner(reconcile_at="06:30")
    office.send(partner, [("NOBODY", "1.00", "UNPAID")])
    gate = door.hold_read("acme", 0)
    try:
        first = (await office.start(partner)).json()
        await gate.reached()
        schedule = f"/schedules/{partner_schedule_id(UUID(partner['id']))}"
        await office.done("POST", f"{schedule}/trigger")

        async def left_out() -> bool:
            shown = await office.temporal.get_schedule_handle(schedule.removeprefix("/schedules/")).describe()
            if not shown.info.recent_actions:
                return False
            done: Any = shown.info.recent_actions[0].action
            run = await office.temporal.get_workflow_handle(done.workflow_id).describe()
            return run.status is WorkflowExecutionStatus.COMPLETED

        await until(left_out, within_s=60, what="the scheduled run to be left out")
    finally:
        gate.open()
    await office.ended(first)
    await office.done("POST", f"{schedule}/trigger")

    async def both() -> bool:
        runs = await office.done("GET", f"/reconciliations?partner_id={partner['id']}&status=completed")
        return len(runs["results"]) == 2

    await until(both, within_s=60, what="the scheduled run to complete")
    [scheduled, _] = (await office.done("GET", f"/reconciliations?partner_id={partner['id']}"))["results"]
    assert (scheduled["origin"], scheduled["requested_by"]) == ("schedule", "partner-reconciliation")
    assert "/schedules/" in scheduled["web_ui_url"]


async def test_a_scheduled_run_gives_up_the_one_whose_workflow_was_terminated(
    office: PartnerOffice, door: GatedSftp
) -> None:
    partner = await office.partner(reconcile_at="06:30")
    office.send(partner, [("NOBODY", "1.00", "UNPAID")])
    trigger = f"/schedules/{partner_schedule_id(UUID(partner['id']))}/trigger"
    gate = door.hold_read("acme", 0)
    try:
        await office.done("POST", trigger)
        await gate.reached()
        [lost] = (await office.done("GET", f"/reconciliations?partner_id={partner['id']}"))["results"]
        [row] = await office.query(
            "SELECT workflow_id FROM partner_reconciliation WHERE id = :id", id=UUID(lost["id"])
        )
        await office.temporal.get_workflow_handle(row[0]).terminate()
    finally:
        gate.open()
    await office.done("POST", trigger)

    async def done() -> bool:
        runs = await office.done("GET", f"/reconciliations?partner_id={partner['id']}")
        return [run["status"] for run in runs["results"]] == ["completed", "failed"]

    await until(done, within_s=40, what="the next scheduled run to end")
    seen = await office.done("GET", f"/reconciliations/{lost['id']}")
    assert (seen["origin"], seen["reason"]) == ("schedule", NOT_THERE)


async def test_metrics_tell_what_is_open_and_how_much_was_matched(
    office: PartnerOffice, partner: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await office.account()
    office.send(partner, [(account["external_ref"], "10.00", "PARTIAL"), ("NOBODY", "7.00", "UNPAID")])
    await office.reconciled(partner)
    metrics: ReconciliationMetrics = office.world.app.state.reconciliation_metrics
    monkeypatch.setattr(metrics, "_read_at", None)
    figures = await office.world.services.reconciliation_figures()
    text = (await office.ask("acme.admin", "GET", f"{ROOT}/metrics")).text
    name = 'source="partner"'
    assert f'recoup_reconciliation_breaks{{age="0-1",kind="balance",{name}}}' in text
    value = f'recoup_reconciliation_value_at_risk{{age="0-1",currency="USD",kind="balance",{name}}} '
    [balance] = [line.removeprefix(value) for line in text.splitlines() if line.startswith(value)]
    assert Decimal(balance) >= 90
    assert f"recoup_reconciliation_matched_share {figures.matched_share}" in text
    assert 0 < figures.matched_share < 1
    assert str(office.agency_id) not in text

    # Asked again soon, nobody bothers the database.
    await office.query("UPDATE reconciliation_break SET state = state")
    read_at = vars(metrics)["_read_at"]
    await asyncio.gather(*(office.ask("acme.admin", "GET", f"{ROOT}/metrics") for _ in range(3)))
    assert vars(metrics)["_read_at"] == read_at
    monkeypatch.setattr(metrics, "_read_at", read_at - FRESH_S)
    await office.ask("acme.admin", "GET", f"{ROOT}/metrics")
    assert vars(metrics)["_read_at"] > read_at, "in time they are read anew"
