"""A portfolio file from the inbox to scored, admitted accounts, on real servers."""

from collections.abc import AsyncIterator
from decimal import Decimal

from tests.integration.imports.shop import Shop, eventually, rows


async def test_a_file_becomes_scored_accounts_with_ledger_and_timeline(shop: Shop) -> None:
    job = await shop.import_file(
        "external_ref,debtor_name,original_amount,debtor_ssn_last4,debtor_email,creditor_name,due_date,colour\n"
        'A-1,"Brian ""Bob"" O\'Sullivan",1500.25,1234,brian@example.com,Northgate,2025-11-15,red\n'
        "A-2,Ana,20.00,,,,2025-10-01,blue\n"
        "A-3,Bad,-5,,,,,\n"
    )

    assert (job["status"], job["total_records"], job["processed_ok"], job["processed_errors"]) == (
        "completed",
        3,
        2,
        1,
    )
    assert job["unknown_columns"] == ["colour"]
    assert job["accounts_created"] == 2
    accounts = await shop.query("SELECT * FROM account ORDER BY external_ref")
    assert [(a["external_ref"], a["balance"], a["status"]) for a in accounts] == [
        ("A-1", Decimal("1500.25"), "new"),
        ("A-2", Decimal("20.00"), "new"),
    ]
    postings = await shop.query("SELECT account_id, debit, credit, amount FROM posting ORDER BY amount DESC")
    assert [(p["account_id"], p["amount"]) for p in postings] == [
        (accounts[0]["id"], Decimal("1500.25")),
        (accounts[1]["id"], Decimal("20.00")),
    ]
    events = await shop.query("SELECT account_id, kind, details FROM timeline_event")
    assert {(e["account_id"], e["kind"], e["details"]["line"]) for e in events} == {
        (accounts[0]["id"], "import", 2),
        (accounts[1]["id"], "import", 3),
    }
    debtor = await shop.one("SELECT * FROM debtor WHERE full_name LIKE 'Brian%%'")
    assert b"1234" not in bytes(debtor["ssn_last4_encrypted"])
    names = await shop.mine("name", "creditor")
    assert [n["name"] for n in names] == ["House Credit", "Northgate"]
    problem = (await shop.problems(job))[0]
    assert (problem["line"], problem["column"], problem["value"]) == (4, "original_amount", "-5")

    async def scored_and_admitted() -> bool:
        found = await shop.query("SELECT id FROM account WHERE admitted_at IS NOT NULL")
        return len(found) == 2

    await eventually(scored_and_admitted)
    scores = await shop.query("SELECT account_id, rank, queued FROM account_score ORDER BY rank DESC")
    assert [s["account_id"] for s in scores] == [a["id"] for a in accounts]
    assert all(s["queued"] for s in scores)
    assert sorted(p.name for p in shop.inbox.glob("*.csv")) == []
    assert [p.name for p in (shop.inbox / "processed").iterdir()] == [f"{job['id']}-new.csv"]
    found = await shop.query("SELECT document FROM account_search WHERE document LIKE '%%brian%%'")
    assert len(found) == 1


async def test_the_same_bytes_twice_are_one_import(shop: Shop) -> None:
    first = await shop.import_file(rows(3))
    shop.send(rows(3), "other-name.csv")

    async def put_away() -> bool:
        await shop.poll()
        return not (shop.inbox / "other-name.csv").exists()

    await eventually(put_away)
    assert [job["id"] for job in await shop.jobs()] == [first["id"]]
    assert len(await shop.query("SELECT id FROM account")) == 3
    assert len(await shop.query("SELECT id FROM posting")) == 3


async def test_an_upload_whose_start_was_lost_is_found_by_the_next_poll(shop: Shop) -> None:
    content = rows(2).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    stored = await shop.storage.put_stream(f"{shop.agency_id}/lost.csv", pieces(), max_bytes=10_000)
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.imports.open(
            channel="upload",
            source_id=None,
            location=stored.key,
            file_name="lost.csv",
            sha256=stored.sha256,
            size=stored.size,
            profile={},
            requested_by="test",
        )
    await shop.poll()
    assert [job["status"] for job in await shop.jobs()] == ["pending"], "its start may be on the way"

    await shop.query("UPDATE import_job SET updated_at = now() - interval '2 minutes' RETURNING id")
    await shop.poll()
    [job] = await shop.settled()
    assert (job["status"], job["accounts_created"]) == ("completed", 2)
    assert not await shop.storage.exists(stored.key)
