"""Which statements a run is given, and what it may call missing there by them, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.partners.matching_books import Books, opened, said


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def test_a_run_that_was_given_up_gives_its_statements_to_the_next(books: Books) -> None:
    await books.partner()
    await books.account("A-1")
    await books.statement(said("A-1", "1.00"))
    await books.statement(said("A-9", "7.00"), channel="messages")
    abandoned = await books.open_run()
    async with books.db.transaction(books.tenant) as tx:
        await tx.statements.close_for(abandoned, "full")
    await books.sql(
        "UPDATE partner_reconciliation SET created_at = now() - interval '7 hours' WHERE id = %s", abandoned
    )
    figures = await books.match()
    assert (figures.lines, figures.matched) == (2, 1)
    assert await books.told() == [
        ("balance", "A-1", "less_there"),
        ("missing_here", "A-9", "unknown_reference"),
    ]
