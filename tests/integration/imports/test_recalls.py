"""A creditor takes accounts back by a file: they are closed, and everything on them stops."""

from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from tests.integration.imports.conftest import working
from tests.integration.imports.shop import HEADER, Shop, eventually, rows
from workflows import queues

TYPED = HEADER.replace("\n", ",record_type\n")
PLACED = rows(6)


@pytest.fixture
async def stocked(shop: Shop) -> Shop:
    """Six accounts, A-0 to A-5, scored."""
    await shop.import_file(PLACED, "placed.csv")
    await shop.scored()
    return shop


async def account(shop: Shop, ref: str) -> dict[str, Any]:
    return await shop.one(
        "SELECT * FROM account WHERE agency_id = %s AND external_ref = %s", shop.agency_id, ref
    )


MADE: tuple[LiteralString, ...] = (
    (
        "INSERT INTO promise (agency_id, account_id, amount, currency, due_date, made_by)"
        " VALUES (%(agency)s, %(account)s, 5, 'USD', '2030-01-01', 'x')"
    ),
    (
        "INSERT INTO settlement_offer"
        " (agency_id, account_id, amount, currency, instalments, expires_on, made_by)"
        " VALUES (%(agency)s, %(account)s, 5, 'USD', 1, '2030-01-01', 'x')"
    ),
    (
        "INSERT INTO dispute (agency_id, account_id, reason, received_on, in_writing, in_period, recorded_by)"
        " VALUES (%(agency)s, %(account)s, 'r', '2026-01-01', true, false, 'x')"
    ),
    (
        "WITH made AS (INSERT INTO payment_plan"
        " (agency_id, account_id, total, currency, frequency, first_due, counted_from, agreed_on, made_by)"
        " VALUES (%(agency)s, %(account)s, 5, 'USD', 'weekly', '2030-01-01', '2030-01-01', '2026-01-01', 'x')"
        " RETURNING id)"
        " INSERT INTO plan_instalment (agency_id, plan_id, number, amount, due_on, collect_on, status)"
        " SELECT %(agency)s, id, n, 1, '2030-01-01', '2030-01-02', status FROM made,"
        " unnest(ARRAY['paid', 'collecting', 'scheduled']) WITH ORDINALITY AS one (status, n)"
    ),
)
"""What a command makes: a promise, an offer, a dispute, a payment plan."""


async def agreed_and_disputed(shop: Shop, account_id: UUID) -> None:
    async with await psycopg.AsyncConnection.connect(shop.superuser_url) as link:
        for statement in MADE:
            await link.execute(statement, {"agency": shop.agency_id, "account": account_id})


async def test_a_recall_closes_the_account_and_stops_everything(stocked: Shop) -> None:
    shop = stocked
    before, putback = await account(shop, "A-1"), await account(shop, "A-2")
    await agreed_and_disputed(shop, before["id"])
    await shop.query("UPDATE account SET promised = true WHERE id = %s", before["id"])

    job = await shop.import_file(f"{TYPED}A-1,,,Recall\nA-2,Whoever,not an amount,PUTBACK\n", "back.csv")
    await shop.scored()

    after = await account(shop, "A-1")
    assert (after["status"], after["closed_reason"], after["promised"]) == ("closed", "recalled", False)
    assert after["version"] == before["version"] + 1
    assert (after["balance"], after["original_amount"]) == (before["balance"], before["original_amount"])
    assert (await account(shop, "A-2"))["closed_reason"] == "putback"
    assert (job["processed_ok"], job["processed_errors"]) == (2, 0)
    assert (job["accounts_created"], job["accounts_updated"], job["warnings"]) == (0, 2, 0)
    for table in ("promise", "settlement_offer", "dispute", "payment_plan"):
        [row] = await shop.mine("status", table)
        assert row["status"] == "cancelled", table
    instalments = await shop.mine("status", "plan_instalment", "number")
    assert [one["status"] for one in instalments] == ["paid", "collecting", "cancelled"]
    [event] = await shop.query(
        "SELECT * FROM timeline_event WHERE account_id = %s AND kind = 'status_changed'", before["id"]
    )
    assert (event["old"], event["new"], event["actor"]) == ("new", "closed", "portfolio-import")
    assert event["details"] == {
        "reason": "recalled", "file": "back.csv", "import_id": str(job["id"]), "line": 2,
    }  # fmt: skip
    [audit] = await shop.query(
        "SELECT * FROM audit_record WHERE entity_id = %s AND action = 'account.moved'", str(before["id"])
    )
    assert (audit["old"], audit["new"]["closed_reason"]) == ({"status": "new"}, "recalled")
    assert await shop.one("SELECT full_name FROM debtor WHERE id = %s", putback["debtor_id"]) == {
        "full_name": "Person 2"
    }


async def until_it_waits_for(shop: Shop, link: psycopg.AsyncConnection[Any]) -> None:
    """Until the import waits for what ``link`` has locked."""

    async def waits() -> bool:
        found = await shop.query(
            "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", link.info.backend_pid
        )
        return bool(found)

    await eventually(waits)


async def test_a_file_locks_what_it_recalls_and_what_it_refreshes_in_the_order_of_ids(stocked: Shop) -> None:
    """Else it could wait in a circle with a hold of a person, or a chunk of an assignment."""
    shop = stocked
    low, *_, high = await shop.mine("id, external_ref", "account", "id")
    async with await psycopg.AsyncConnection.connect(shop.superuser_url) as other:
        await other.execute("SELECT FROM account WHERE id = %s FOR NO KEY UPDATE", [low["id"]])
        header = TYPED.replace("record_type", "due_date,record_type")
        refreshed = f"{high['external_ref']},Somebody,100.00,2026-02-03,\n"
        shop.send(f"{header}{refreshed}{low['external_ref']},,,,recall\n", "both.csv")
        await shop.poll()
        await until_it_waits_for(shop, other)
        await other.execute("SELECT FROM account WHERE id = %s FOR NO KEY UPDATE NOWAIT", [high["id"]])
    await shop.settled(2)

    after = {row["id"]: row for row in await shop.mine("id, status, due_date", "account")}
    assert after[low["id"]]["status"] == "closed"
    assert str(after[high["id"]]["due_date"]) == "2026-02-03"


async def test_what_a_command_was_just_making_ends_with_the_account(stocked: Shop) -> None:
    shop = stocked
    before = await account(shop, "A-1")
    values = {"agency": shop.agency_id, "account": before["id"], "debtor": before["debtor_id"]}
    async with await psycopg.AsyncConnection.connect(shop.superuser_url) as command:
        await command.execute("SELECT FROM debtor WHERE id = %(debtor)s FOR NO KEY UPDATE", values)
        await command.execute(
            "UPDATE account SET promised = true, version = version + 1 WHERE id = %(account)s", values
        )
        for statement in MADE:
            await command.execute(statement, values)
        shop.send(f"{TYPED}A-1,,,recall\n", "back.csv")
        await shop.poll()
        await until_it_waits_for(shop, command)
        await command.commit()
    [*_, job] = await shop.settled(2)

    after = await account(shop, "A-1")
    assert (after["status"], after["promised"]) == ("closed", False)
    assert after["version"] == before["version"] + 2
    records = await shop.mine("action, entity, entity_id, new", "audit_record", "at, id")
    for table, action in (
        ("promise", "promise.cancelled"),
        ("settlement_offer", "offer.cancelled"),
        ("dispute", "dispute.cancelled"),
        ("payment_plan", "plan.cancelled"),
    ):
        [row] = await shop.mine("id, status", table)
        assert row["status"] == "cancelled", table
        [record] = [record for record in records if record["action"] == action]
        assert (record["entity"], record["entity_id"]) == (table, str(row["id"]))
        assert record["new"] == {"account_id": str(after["id"]), "import_id": str(job["id"]), "line": 2}
        kind = action.removesuffix(".cancelled")
        event = await shop.one(
            "SELECT description, old, details FROM timeline_event"
            " WHERE account_id = %s AND kind = %s AND new = 'cancelled'",
            after["id"],
            kind,
        )
        assert event == {
            "description": f"{kind.capitalize()} cancelled: the account is closed",
            "old": "active" if kind == "plan" else "open",
            "details": {f"{kind}_id": str(row["id"]), "import_id": str(job["id"]), "line": 2},
        }


async def test_recalled_accounts_leave_the_worklist_before_they_are_scored(stocked: Shop) -> None:
    shop = stocked
    before = await account(shop, "A-1")

    job = await shop.import_file(f"{TYPED}A-1,,,recall\n", "back.csv")
    at_once = await shop.one("SELECT * FROM account_score WHERE account_id = %s", before["id"])
    await shop.scored()

    assert (at_once["queued"], at_once["account_version"]) == (False, before["version"] + 1)
    [bucket] = await shop.query(
        "SELECT account_ids FROM import_bucket WHERE import_id = %s AND stage = 'accounts'", job["id"]
    )
    assert bucket["account_ids"] == [before["id"]], "the import's scoring looks at it"
    scored = await shop.one("SELECT * FROM account_score WHERE account_id = %s", before["id"])
    assert not scored["queued"]


async def test_the_running_lifecycle_of_a_recalled_account_is_to_be_told(stocked: Shop) -> None:
    shop = stocked
    one = await account(shop, "A-3")
    handle = shop.client.get_workflow_handle(queues.account_workflow_id(one["id"]))
    assert (await handle.describe()).close_time is None

    await shop.import_file(f"{TYPED}A-3,,,recall\n", "back.csv")

    noted = await shop.mine("account_id", "lifecycle_notice")
    assert [row["account_id"] for row in noted] == [one["id"]]


async def test_what_is_not_there_or_closed_or_superseded_is_reported_and_changes_nothing(
    stocked: Shop,
) -> None:
    shop = stocked
    await shop.import_file(f"{TYPED}A-0,,,recall\n", "first.csv")
    before = await shop.mine("*", "account", "external_ref")

    job = await shop.import_file(
        "external_ref,debtor_name,original_amount,record_type,creditor_name\n"
        "A-0,,,putback,\n"
        "A-9,,,recall,\n"
        "A-1,,,recall,Nobody Knows Bank\n"
        "A-2,,,recall,\n"
        "A-2,Person 2,100.00,,\n"
        "N-1,Ann,5.00,placement,\n"
        "N-1,,,recall,\n",
        "second.csv",
    )

    problems = await shop.problems(job)
    assert [(p["line"], p["severity"], p["column"], p["error"].split(",")[0]) for p in problems] == [
        (2, "warning", "external_ref", "is closed already (recalled); nothing was changed"),
        (3, "warning", "external_ref", "is no account of this creditor"),
        (4, "warning", "external_ref", "is no account of this creditor"),
        (5, "warning", "external_ref", "occurs again in line 6"),
        (7, "warning", "external_ref", "occurs again in line 8"),
        (8, "warning", "external_ref", "is no account of this creditor"),
    ]
    assert (job["status"], job["processed_ok"], job["warnings"]) == ("completed", 7, 6)
    assert await shop.mine("*", "account", "external_ref") == before
    assert [row["name"] for row in await shop.mine("name", "creditor")] == ["House Credit"]


async def test_the_same_recall_again_changes_nothing(stocked: Shop) -> None:
    shop = stocked
    recall = f"{TYPED}A-0,,,recall\nA-1,,,putback\n"
    await shop.import_file(recall, "first.csv")
    await shop.scored()
    tables = ("account", "promise", "dispute", "timeline_event", "account_score_history", "debtor")
    before = {table: await shop.mine("*", table) for table in tables}

    job = await shop.import_file(recall + "\n", "again.csv")
    await shop.scored()

    assert {table: await shop.mine("*", table) for table in tables} == before
    assert (job["accounts_updated"], job["warnings"]) == (0, 2)


async def test_placements_and_recalls_share_a_file_and_a_profile_may_name_the_column(stocked: Shop) -> None:
    shop = stocked
    await shop.query(
        "UPDATE sftp_source SET profile = %s::jsonb WHERE id = %s",
        '{"columns": {"Txn": "record_type", "Acct": "external_ref"}}',
        shop.source_id,
    )

    job = await shop.import_file(
        "Acct,debtor_name,original_amount,Txn\n"
        "B-1,Ann,12.50,Placement\nB-2,Bob,10.00,\nA-5,,,RECALL\nA-4,,,Return\n",
        "mixed.csv",
    )

    assert (job["accounts_created"], job["accounts_updated"], job["processed_errors"]) == (2, 1, 1)
    [problem] = [problem for problem in await shop.problems(job) if problem["column"] == "Txn"]
    assert (problem["line"], problem["severity"], problem["value"]) == (5, "error", "Return")
    assert problem["error"] == ("Txn is none of placement, recall, putback; leave it empty for a placement")
    assert (await account(shop, "A-4"))["status"] == "new"
    assert (await account(shop, "B-1"))["status"] == "new"
    assert await shop.breaches() == []


async def test_another_agency_s_account_is_not_recalled(shops: dict[str, Shop]) -> None:
    acme, rival = shops["acme"], shops["rival"]
    async with working(acme):
        await acme.import_file(PLACED)
        await rival.import_file(PLACED)
        await rival.import_file(f"{TYPED}A-1,,,recall\n", "back.csv")

    assert (await account(acme, "A-1"))["status"] == "new"
    assert (await account(rival, "A-1"))["status"] == "closed"


async def test_a_settled_or_disputed_account_is_taken_back_too(stocked: Shop) -> None:
    shop = stocked
    await shop.query("UPDATE account SET status = 'settled' WHERE external_ref = 'A-0'")
    await shop.query("UPDATE account SET status = 'disputed' WHERE external_ref = 'A-1'")

    await shop.import_file(f"{TYPED}A-0,,,recall\nA-1,,,recall\n", "back.csv")

    events = await shop.query("SELECT old FROM timeline_event WHERE new = 'closed' ORDER BY old")
    assert [event["old"] for event in events] == ["disputed", "settled"]
