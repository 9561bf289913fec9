"""Exports over REST: every list as its reader sees it, who gets which file, what is refused and recorded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from domain.csv_text import restore_formula
from sandbox.processes import until
from services.export_files import DownloadTokens, Permit
from services.export_lists import LISTS, ExportList
from tests.integration.exports.conftest import NAMES, NOBODY, Desk, records

GOOD = "".join(f"X-{n},Good One,10.00\n" for n in range(200))
BAD_FILE = f"external_ref,debtor_name,original_amount\n{GOOD}Y-1,=Bad,-5.00\nY-2,,ten\n".encode()
FORMULA = "=cmd|' /C calc'!A0"
EXPORT_FIELDS = {
    "id", "list", "filters", "format", "file_name", "status", "rows", "total", "progress", "bytes", "sha256",
    "reason", "reason_type", "requested_by", "started_at", "completed_at", "expires_at", "available",
    "created_at", "updated_at", "workflow_id", "web_ui_url",
}  # fmt: skip
PLAN = """
    INSERT INTO payment_plan (agency_id, account_id, total, currency, frequency, first_due, counted_from,
                              agreed_on, made_by)
    VALUES (%s, %s, 100, 'USD', 'monthly', '2026-01-01', '2026-01-01', '2025-12-01', 'acme.admin')"""
BREAK = """
    INSERT INTO reconciliation_break (agency_id, account_id, source, kind, subject, ours, theirs, difference,
                                      value, currency, rule, probable_cause)
    VALUES (%s, %s, 'processor', 'balance', '-subject', 10, 2, -8, 8, 'USD', 'x', 'unknown')"""


@pytest.fixture(scope="module", autouse=True)
async def stocked(desk: Desk) -> AsyncIterator[dict[str, str]]:
    """One account with a note, a contact, a payment, a plan, a break; a file with errors; a worker."""
    account = await desk.account("100")
    async with desk.working():
        async with desk.world.client("acme.admin") as client:
            sent = await client.post("/imports", files={"file": ("bad.csv", BAD_FILE)})
        bodies = {
            f"/accounts/{account}/notes": {"text": FORMULA},
            f"/accounts/{account}/contacts": {
                "channel": "call", "direction": "inbound", "conversation": True, "note": "+1 more"
            },
            "/payments": {"account_id": account, "amount": "1.00", "method": "cash", "reference": "@till"},
        }  # fmt: skip
        for path, body in bodies.items():
            made = await desk.call("acme.admin", "POST", path, body, **{"Idempotency-Key": path[-9:]})
            # The till is not waited for longer than callers are kept.
            assert made.status_code in {201, 202}, made.text
        await desk.query(PLAN, desk.agency_id, account)
        await desk.query(BREAK, desk.agency_id, account)
        imported = f"/imports/{sent.json()['id']}"

        async def paid() -> bool:
            payments = (await desk.call("acme.admin", "GET", "/payments")).json()["results"]
            return "@till" in {one["reference"] for one in payments if one["status"] == "succeeded"}

        await until(paid, within_s=60, what="the payment to be posted")

        async def scored() -> bool:
            runs = (await desk.call("acme.admin", "GET", "/scoring/runs")).json()["results"]
            return bool(runs) and runs[0]["status"] == "completed"

        await until(scored, within_s=60, what="the file to be imported and scored")
        assert (await desk.call("acme.admin", "GET", imported)).json()["processed_errors"] == 2
        yield {"account_id": account, "import_id": sent.json()["id"]}


async def test_all_accounts_in_several_pages(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("accounts"))
    assert export.keys() == EXPORT_FIELDS
    content = await desk.file(export)
    rows = records(content)
    expected = await desk.query(
        "SELECT id FROM account WHERE agency_id = %s ORDER BY id DESC", desk.agency_id
    )
    assert [row["id"] for row in rows] == [str(row["id"]) for row in expected]
    assert (export["status"], export["progress"], export["available"]) == ("completed", 1.0, True)
    assert (export["rows"], export["total"], export["bytes"]) == (len(rows), len(rows), len(content))
    assert export["sha256"] == sha256(content).hexdigest()
    assert export["file_name"].startswith("accounts-20")
    kept = datetime.fromisoformat(export["expires_at"]) - datetime.fromisoformat(export["completed_at"])
    assert kept == timedelta(days=7)


@pytest.mark.parametrize(
    ("path", "filters"),
    [
        ("/accounts?ordering=-balance&min_balance=20000", {"ordering": "-balance", "min_balance": "20000"}),
        ("/accounts?ordering=due_date&search=GOOD%20one", {"ordering": "due_date", "search": "GOOD one"}),
        ("/accounts?status=new&risk_level=high", {"status": ["new", "assigned"], "risk_level": "high"}),
    ],
)
async def test_accounts_are_chosen_and_ordered_as_in_their_list(
    desk: Desk, path: str, filters: dict[str, Any]
) -> None:
    shown = await desk.listed(path)
    found = await desk.rows("accounts", **filters)
    assert [row["id"] for row in found] == [row["id"] for row in shown]
    assert shown
    for row, one in zip(found[:20], shown, strict=False):
        assert (row["creditor_name"], restore_formula(row["debtor_full_name"])) == (
            one["creditor"]["name"],
            one["debtor"]["full_name"],
        )
        assert (row["current_balance"], row["priority_score"], row["assigned_to_name"]) == (
            one["current_balance"],
            one["priority_score"] or "",
            one["assigned_to_name"] or "",
        )


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("worklist", "/worklist?collector={collector}", "id"),
        ("debtors", "/debtors?search=Good%20One", "id"),
        ("high_risk_debtors", "/debtors/high-risk?min_priority=3", "id"),
        ("payments", "/payments?account={account_id}", "id"),
        ("plans", "/plans?status=active", "id"),
        ("imports", "/imports", "id"),
        ("import_errors", "/imports/{import_id}/errors?severity=error", "line"),
        ("breaks", "/breaks?state=open&owner=none", "id"),
        ("contacts", "/accounts/{account_id}/contacts", "id"),
        ("timeline", "/accounts/{account_id}/timeline", "id"),
    ],
)
async def test_every_list_has_the_rows_that_it_shows(
    desk: Desk, stocked: dict[str, str], name: str, path: str, key: str
) -> None:
    path = path.format(**stocked, collector=await desk.collector())
    shown = await desk.listed(path)
    assert shown
    query = dict(part.split("=") for part in path.partition("?")[2].replace("%20", " ").split("&") if part)
    hung_on = {field: value for field, value in stocked.items() if value in path.partition("?")[0]}
    found = await desk.rows(name, **query, **hung_on)
    assert [row[key] for row in found] == [str(row[key]) for row in shown]
    assert list(found[0]) == [column.name for column in LISTS[ExportList(name)].columns]
    plain = {
        field: value for field, value in shown[0].items() if isinstance(value, str) and field in found[0]
    }
    assert {field: restore_formula(found[0][field]) for field in plain} == plain


async def test_there_is_a_test_of_every_list() -> None:
    marks = test_every_list_has_the_rows_that_it_shows.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} | {"accounts"} == set(ExportList)


async def test_no_cell_begins_as_a_formula_but_negative_amounts_are_numbers(
    desk: Desk, stocked: dict[str, str]
) -> None:
    names = {row["debtor_full_name"] for row in await desk.rows("accounts", search="debtor")}
    names |= {row["debtor_full_name"] for row in await desk.rows("accounts", max_balance="99999999")}
    assert {restore_formula(name) for name in names} >= set(NAMES)
    assert not [name for name in names if name.startswith(("=", "+", "-", "@", "\t"))]
    [broken] = await desk.rows("breaks")
    assert (broken["difference"], broken["subject"]) == ("-8.00", "'-subject")
    events = await desk.rows("timeline", account_id=stocked["account_id"])
    assert [row["description"] for row in events if row["kind"] == "note"] == [f"'{FORMULA}"]


async def test_a_collector_gets_their_own_accounts_only(desk: Desk) -> None:
    mine = await desk.rows("accounts", "acme.collector")
    assert len(mine) == 51
    assert {row["assigned_to_name"] for row in mine} == {"acme.collector"}
    assert len(await desk.rows("worklist", "acme.collector")) == len(
        await desk.listed("/worklist", "acme.collector")
    )
    assert len(await desk.rows("debtors", "acme.collector")) == 51
    assert await desk.rows("accounts", "acme.collector", collector=NOBODY) == []
    for name in ("imports", "breaks"):
        refused = await desk.call("acme.collector", "POST", "/exports", {"list": name})
        assert refused.status_code == 403
    other = {"list": "timeline", "filters": {"account_id": await desk.account("101")}}
    assert (await desk.call("acme.collector", "POST", "/exports", other)).status_code == 404


async def test_who_sees_an_export_and_gets_its_file(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("accounts", "acme.collector"))
    path = f"/exports/{export['id']}"
    for who, status in (
        ("acme.collector", 200), ("acme.admin", 200), ("acme.auditor", 404), ("rival.admin", 404), (None, 401)
    ):  # fmt: skip
        for end in ("", "/link", "/events"):
            assert (await desk.call(who, "GET", path + end)).status_code == status, (who, end)
        if status != 401:
            listed = (await desk.call(who, "GET", "/exports?status=completed")).json()["results"]
            assert (export["id"] in {row["id"] for row in listed}) is (status == 200), who
    as_platform = await desk.call("platform", "GET", path, **{"X-Agency": "acme"})
    assert as_platform.status_code == 200
    assert (await desk.call("platform", "GET", path, **{"X-Agency": "rival"})).status_code == 404
    assert [action for action, _, _ in await desk.audited(export)] == [
        "export.requested", "export.completed", "export.link_given", "export.link_given"
    ]  # fmt: skip


async def test_what_is_recorded(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("accounts", search="Good One"))
    await desk.link(export)
    told = {"list": "accounts", "filters": {"search": "Good One"}}
    assert await desk.audited(export) == [
        ("export.requested", "acme.admin", {**told, "format": "csv"}),
        ("export.completed", "acme.admin", {**told, "rows": 200, "bytes": export["bytes"]}),
        ("export.link_given", "acme.admin", {"rows": 200}),
    ]


async def test_links_end_and_are_for_one_file(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("imports"))
    answer = (await desk.call("acme.admin", "GET", f"/exports/{export['id']}/link")).json()
    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    path = await desk.link(export)
    got = await desk.call(None, "GET", path)
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert got.headers["content-disposition"] == f'attachment; filename="{export["file_name"]}"'
    assert got.headers["content-length"] == str(export["bytes"])
    assert got.headers["cache-control"] == "private, no-store"
    tokens = DownloadTokens(desk.world.settings.jwt_secret.get_secret_value())
    permit = Permit(desk.agency_id, UUID(export["id"]))
    soon = datetime.now(UTC) + timedelta(minutes=1)
    rival = desk.world.agencies["rival"]
    for token, status in (
        (path.partition("token=")[2][:-2], 400),
        (tokens.issue(permit, datetime.now(UTC) - timedelta(seconds=1)), 400),
        (desk.world.tokens["acme.admin"], 400),
        (tokens.issue(Permit(rival, permit.export_id), soon), 404),
        (tokens.issue(Permit(permit.agency_id, UUID(int=1)), soon), 404),
        (tokens.issue(permit, soon), 200),
    ):
        assert (await desk.call(None, "GET", f"/exports/download?token={token}")).status_code == status
    desk.world.tokens["thief"] = path.partition("token=")[2]
    assert (await desk.call("thief", "GET", "/auth/me")).status_code == 401


async def test_a_removed_file_cannot_be_had_and_its_row_stays(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("imports"))
    path = await desk.link(export)
    await ActivityEnvironment().run(desk.steps.remove, desk.ref(export))
    await ActivityEnvironment().run(desk.steps.remove, desk.ref(export))
    job = await desk.job(export)
    assert job.location is not None
    assert not await desk.storage.exists(job.location)
    gone = await desk.get(export)
    assert (gone["status"], gone["available"], gone["rows"]) == ("completed", False, export["rows"])
    assert (await desk.call(None, "GET", path)).status_code == 409
    assert (await desk.call("acme.admin", "GET", f"/exports/{export['id']}/link")).status_code == 409


async def test_an_export_whose_time_is_over_cannot_be_had_before_it_is_removed(desk: Desk) -> None:
    export = await desk.ended(await desk.ask("imports"))
    path = await desk.link(export)
    await desk.query("UPDATE export_job SET expires_at = now() WHERE id = %s", export["id"])
    assert (await desk.call(None, "GET", path)).status_code == 409
    assert (await desk.get(export))["available"] is False


async def test_progress_is_told(desk: Desk) -> None:
    export = await desk.ask("accounts")
    answer = await asyncio.wait_for(desk.call("acme.admin", "GET", f"/exports/{export['id']}/events"), 60)
    assert answer.status_code == 200
    assert answer.text.count("event: completed") == 1
    last = answer.text.rpartition("id: ")[2].split()[0]
    known = {"Last-Event-ID": last}
    again = await desk.call("acme.admin", "GET", f"/exports/{export['id']}/events", **known)
    assert again.status_code == 204


async def test_the_same_key_is_the_same_export(desk: Desk) -> None:
    body = {"list": "imports", "filters": {}}
    first, again, other = [
        await desk.call("acme.admin", "POST", "/exports", sent, **{"Idempotency-Key": "once"})
        for sent in (body, body, {**body, "list": "debtors"})
    ]
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert first.json()["id"] == again.json()["id"]
    await desk.ended(first.json())


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"list": "secrets"}, "list", "accounts"),
        ({}, "list", "required"),
        ({"list": "accounts", "format": "xlsx"}, "format", "csv"),
        ({"list": "accounts", "columns": ["id"]}, "columns", "no such field"),
        ({"list": "accounts", "filters": []}, "filters", "object"),
        ({"list": "accounts", "filters": {"stauts": "new"}}, "filters.stauts", "status, collector"),
        ({"list": "accounts", "filters": {"status": "open"}}, "filters.status[0]", "new"),
        ({"list": "accounts", "filters": {"status": ["new", "x"]}}, "filters.status[1]", "new"),
        ({"list": "accounts", "filters": {"min_balance": "lots"}}, "filters.min_balance", "amount"),
        ({"list": "accounts", "filters": {"ordering": "name"}}, "filters.ordering", "created_at"),
        ({"list": "accounts", "filters": {"page_size": 5}}, "filters.page_size", "no such filter"),
        ({"list": "accounts", "filters": {"search": "a\x00"}}, "filters.search", "NUL"),
        ({"list": "worklist", "filters": {"collector": "some"}}, "filters.collector", "id"),
        ({"list": "plans", "filters": {"status": "paid"}}, "filters.status[0]", "active"),
        ({"list": "breaks", "filters": {"owner": "who"}}, "owner", "username"),
        ({"list": "timeline"}, "filters.account_id", "required"),
        ({"list": "import_errors", "filters": {"import_id": "7"}}, "filters.import_id", "id"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
async def test_what_cannot_be_exported_is_refused_by_name(
    desk: Desk, body: dict[str, Any], field: str, says: str
) -> None:
    answer = await desk.call("acme.admin", "POST", "/exports", body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["field"] == field
    assert says in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"list": "timeline", "filters": {"account_id": NOBODY}},
        {"list": "contacts", "filters": {"account_id": NOBODY}},
        {"list": "import_errors", "filters": {"import_id": NOBODY}},
    ],
    ids=["timeline", "contacts", "import_errors"],
)
async def test_what_hangs_on_nothing_is_not_found(desk: Desk, body: dict[str, Any]) -> None:
    assert (await desk.call("acme.admin", "POST", "/exports", body)).status_code == 404
