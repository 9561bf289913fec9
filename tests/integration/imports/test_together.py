"""Imports at work at the same time: on the same accounts, and for different agencies."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest

from activities import portfolio_staging
from tests.integration.imports.shop import Shop, eventually, rows

HEADER = "external_ref,debtor_name,original_amount,debtor_ref,due_date\n"


def overlapping(start: int, *, count: int = 40, backwards: bool = False, day: int = 1) -> str:
    numbers = range(start, start + count)
    ordered = reversed(numbers) if backwards else numbers
    return HEADER + "".join(f"R-{n},Person {n},{n + 1}.00,D-{n % 15},2026-01-{day:02}\n" for n in ordered)


async def test_the_second_of_two_placements_of_one_account_finds_it_placed(shop: Shop) -> None:
    """The second waits for the first's uncommitted rows, is rolled back, and merges again."""
    merging = shop.faults.before("imports.merge_bucket", lambda ref: ref.stage == "accounts")
    shop.send(overlapping(0), "first.csv")
    await shop.poll()
    await merging.reached()
    [first] = await shop.jobs()
    async with await psycopg.AsyncConnection.connect(shop.superuser_url) as lock:
        # Where the first counts its bucket, behind everything that it inserted.
        await lock.execute("SELECT FROM import_job WHERE id = %s FOR NO KEY UPDATE", [first["id"]])
        merging.open()
        await eventually(lambda: waiting(shop, 1))
        shop.send(overlapping(20, backwards=True, day=2), "second.csv")
        await shop.poll()
        await eventually(lambda: waiting(shop, 2))
        await lock.rollback()

    jobs = await shop.settled(2)

    assert [(job["status"], job["accounts_created"], job["accounts_updated"]) for job in jobs] == [
        ("completed", 40, 0),
        ("completed", 20, 20),
    ]
    assert ("imports.merge_bucket", 2) in shop.faults.attempts
    await once_each(shop, 60)


async def waiting(shop: Shop, count: int) -> bool:
    """Whether ``count`` transactions wait for others."""
    found = await shop.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    return len(found) == count


async def once_each(shop: Shop, accounts: int) -> None:
    placed = await shop.query(
        "SELECT account_id, count(*) AS n, sum(amount) AS amount FROM posting GROUP BY account_id"
    )
    assert len(placed) == accounts
    assert {row["n"] for row in placed} == {1}
    assert not await shop.breaches()


async def test_many_imports_of_the_same_accounts_end_without_a_deadlock(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio_staging, "ROWS_PER_BUCKET", 8)
    gates = [shop.faults.before("imports.stage") for _ in range(3)]
    for n in range(3):
        shop.send(overlapping(n * 5, backwards=bool(n % 2), day=n + 1), f"{n}.csv")
    await shop.poll()
    await asyncio.gather(*(gate.reached() for gate in gates))
    for gate in gates:
        gate.open()

    jobs = await shop.settled(3)

    assert {job["status"] for job in jobs} == {"completed"}
    assert sum(job["accounts_created"] for job in jobs) == 50
    await shop.scored()
    await once_each(shop, 50)
    runs = await shop.mine("status, scored", "scoring_run")
    assert [run["status"] for run in runs] == ["completed"] * 3
    assert all(run["scored"] >= 40 for run in runs), "and the other accounts of its debtors"


async def test_two_agencies_with_one_reference_have_two_accounts(shop: Shop, rival: Shop) -> None:
    content = rows(3)
    await asyncio.gather(shop.import_file(content), rival.import_file(content))
    await asyncio.gather(shop.scored(), rival.scored())

    for one, other in ((shop, rival), (rival, shop)):
        mine = await one.mine("id, external_ref", "account")
        assert len(mine) == 3
        theirs = await other.mine("id", "account")
        assert {a["id"] for a in mine}.isdisjoint(a["id"] for a in theirs)
        assert await visible(one) == {a["id"] for a in mine}
    imports = await shop.query("SELECT sha256 FROM import_job")
    assert len(imports) == 2
    assert len({job["sha256"] for job in imports}) == 1


async def visible(shop: Shop) -> set[UUID]:
    """The accounts that a transaction of the agency sees, asking for all there are."""
    async with shop.db.transaction(shop.tenant) as tx:
        found: Any = await tx.session.connection()
        rows = await found.exec_driver_sql("SELECT id FROM account")
        return {row.id for row in rows}
