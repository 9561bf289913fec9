"""What the next comparison makes of breaks that are there, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from db import break_writing
from db.breaks import BreakFilter
from tests.integration.partners.matching_books import NOW, Books, opened, said

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def test_what_a_statement_does_not_name_any_more_is_not_cured_by_that(books: Books) -> None:
    await books.partner()
    recalled = await books.account("A-1", status="closed", closed_reason="recalled")
    await books.account("A-2")
    await books.statement(said("A-1", "0.00", "PAID"), said("A-2"))
    await books.match()
    kinds = [(b.kind, b.account_id) for b in await books.breaks()]
    assert kinds == [("balance", recalled), ("status", recalled)]
    await books.statement(said("A-2", processed_at=NOW))
    assert (await books.match()).cured == 0
    assert [(b.kind, b.account_id) for b in await books.breaks()] == kinds


async def test_a_difference_that_is_explained_otherwise_by_now_is_the_same_break(books: Books) -> None:
    await books.partner()
    account = await books.account("A-1")
    await books.statement(said("A-1", "450.00"))
    await books.match()
    [first] = await books.breaks()
    await books.sql("UPDATE reconciliation_break SET found_at = %s WHERE id = %s", NOW - 40 * DAY, first.id)
    await books.insert(
        "break_proposal",
        break_id=first.id,
        resolution="explain",
        note="-",
        proposed_by=books.tenant.agency_id,
        proposed_by_name="ana",
    )
    await books.sql("UPDATE reconciliation_break SET state = 'proposed' WHERE id = %s", first.id)
    await books.payment(account, "50.00", status="processing")
    await books.statement(said("A-1", "450.00", processed_at=NOW))
    again = await books.match()
    assert (again.breaks, again.opened, again.cured) == (1, 0, 0)
    [now] = await books.breaks()
    assert (now.id, now.kind, now.probable_cause, now.state) == (first.id, "timing", "in_transit", "proposed")
    assert (now.found_at, now.version) == (NOW - 40 * DAY, first.version + 1)
    proposals = await books.sql("SELECT state FROM break_proposal WHERE break_id = %s", first.id)
    assert [p.state for p in proposals] == ["open"]


@pytest.mark.parametrize("rules", [None, "resolve:\n  - {kind: timing, within_days: 2, up_to: 10}\n"])
async def test_what_was_sent_since_they_wrote_waits_for_their_next_statement(
    books: Books, rules: str | None
) -> None:
    await books.partner(rules)
    late = await books.account("LATE")
    await books.account("A-1")
    await books.sent(late, at=NOW - HOUR / 2)
    await books.statement(said("A-1"))
    assert (await books.match()).resolved == (0 if rules is None else 1)
    [since] = await books.breaks("true")
    assert (since.kind, since.probable_cause, since.value) == ("timing", "sent_since", 0)
    assert since.resolution == (None if rules is None else "rule")
    await books.statement(said("A-1", processed_at=NOW))
    assert (await books.match()).cured == 0
    [missed] = await books.breaks()
    assert (missed.kind, missed.probable_cause, missed.value) == ("missing_there", "never_stated", 500)
    assert (missed.id == since.id) is (rules is None)


async def test_what_was_sent_since_and_is_named_with_what_was_owed_then_stays_one_break(books: Books) -> None:
    await books.partner()
    late = await books.account("LATE")
    await books.account("A-1")
    await books.sent(late, at=NOW - HOUR / 2)
    await books.statement(said("A-1"))
    await books.match()
    await books.post(late, "100.00")
    await books.statement(said("A-1", processed_at=NOW), said("LATE", processed_at=NOW - HOUR / 4))
    assert (await books.match()).opened == 0
    [now] = await books.breaks()
    assert (now.kind, now.probable_cause, now.value) == ("timing", "posted_since", 100)


@pytest.mark.parametrize("balance", ["500.00", "400.00", None])
async def test_what_was_sent_since_is_cured_as_soon_as_it_is_named(books: Books, balance: str | None) -> None:
    await books.partner()
    late = await books.account("LATE")
    await books.account("A-1")
    await books.sent(late, at=NOW - HOUR / 2)
    await books.statement(said("A-1"))
    await books.match()
    await books.statement(said("A-1", processed_at=NOW), said("LATE", balance, processed_at=NOW))
    assert (await books.match()).cured == 1
    assert [b.kind for b in await books.breaks()] == (["balance"] if balance == "400.00" else [])


async def listed(books: Books, run_id: UUID) -> set[str | None]:
    """References of the breaks that are listed with a run."""
    async with books.db.transaction(books.tenant) as tx:
        rows = await tx.breaks.page(None, 10, BreakFilter(run_id=run_id))
    return {row.broken.account_ref for row in rows}


async def test_of_runs_long_ago_is_listed_what_they_opened_or_were_the_last_to_find(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(break_writing, "LISTED_RUNS", 1)
    await books.partner()
    runs = []
    for day in range(4):
        names = [name for name in range(day + 1) if (name, day) != (0, 3)]
        await books.statement(*(said(f"U-{name}", processed_at=NOW) for name in names))
        runs.append((await books.match()).run_id)
    assert [await listed(books, run_id) for run_id in runs] == [
        {"U-0"},
        {"U-1"},
        {"U-0", "U-1", "U-2"},
        {"U-1", "U-2", "U-3"},
    ]
