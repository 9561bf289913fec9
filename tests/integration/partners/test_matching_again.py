"""What the next comparison makes of breaks that are there, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.partners.matching_books import NOW, Books, opened, said

DAY = timedelta(days=1)


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
