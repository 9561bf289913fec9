"""What people and payments do while matching runs, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.errors import Unavailable
from sandbox.processes import until
from tests.integration.partners.matching_books import NOW, Books, opened, said

TAKEN_OVER = "UPDATE account SET balance = 300, version = version + 1 WHERE id = %s"
PEOPLE = "UPDATE reconciliation_break SET state = 'resolved', resolution = %s WHERE id = %s"


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


@asynccontextmanager
async def held(module_database: Any, broken: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A transaction that has locked a break."""
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as other:
        await other.execute("SELECT FROM reconciliation_break WHERE id = %s FOR UPDATE", [broken.id])
        yield other


async def waiting(books: Books, run_id: UUID) -> asyncio.Task[dict[str, Any]]:
    """A matching that has begun, and waits for somebody else's lock."""
    matching = asyncio.create_task(books.matched(run_id))

    async def waits() -> bool:
        [row] = await books.sql(
            "SELECT count(*) AS n FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(row.n)

    await until(waits, within_s=60, what="the matching to wait")
    return matching


async def disagreeing(books: Books, *accounts: str) -> list[Any]:
    """Breaks of accounts of 500 that the partner states with 300, and the same said again."""
    await books.partner()
    for ref in accounts:
        await books.account(ref)
    await books.statement(*(said(ref, "300.00") for ref in accounts))
    await books.match()
    return await books.breaks()


async def test_what_somebody_resolves_while_matching_runs_stays_resolved(
    books: Books, module_database: Any
) -> None:
    first, second = await disagreeing(books, "A-1", "A-2")
    await books.statement(*(said(ref, "300.00", processed_at=NOW) for ref in ("A-1", "A-2")))
    run_id = await books.open_run()
    async with held(module_database, first) as other:
        matching = await waiting(books, run_id)
        await other.execute(TAKEN_OVER, [first.account_id])
        await other.execute(PEOPLE, ["accept_theirs", first.id])
        await other.commit()
        with pytest.raises(Unavailable):
            await matching
    assert [b.id for b in await books.breaks()] == [second.id]
    figures = await books.end(run_id)
    assert (figures.opened, figures.breaks) == (0, 1)
    assert [b.id for b in await books.breaks()] == [second.id]


async def test_what_is_posted_while_matching_runs_is_in_none_of_it(
    books: Books, module_database: Any
) -> None:
    [before] = await disagreeing(books, "A-1")
    names = [f"B-{number}" for number in range(6)]
    accounts = [await books.account(ref) for ref in names]
    missed = await books.account("MISSED")
    await books.sent(missed)
    await books.statement(said("A-1", "300.00", processed_at=NOW), *(said(ref, "450.00") for ref in names))
    run_id = await books.open_run()
    async with held(module_database, before) as other:
        matching = await waiting(books, run_id)
        for account in (*accounts, missed):
            await books.post(account, "100.00")
        await other.rollback()
        figures = await matching
    assert figures["breaks"] == 8
    found = await books.breaks()
    assert [(b.kind, b.account_ref, b.ours, b.theirs) for b in found] == [
        ("balance", "A-1", 500, 300),
        *(("balance", ref, 500, 450) for ref in names),
        ("missing_there", "MISSED", 500, None),
    ]
