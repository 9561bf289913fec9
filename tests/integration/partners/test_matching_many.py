"""A statement of which nothing agrees: three hundred thousand breaks, and no memory of this process."""

import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.partners.matching_books import Books, opened

BREAKS = 300_000
MOST_KIB = 20 << 10
"""What this process may hold more than before."""


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def state(books: Books) -> None:
    """A statement about accounts that nobody here knows."""
    statement = await books.statement()
    await books.sql(
        "INSERT INTO statement_line (statement_id, line, agency_id, account_ref, balance, status,"
        " processed_at)"
        " SELECT %s, n, %s, 'U-' || n, 1.00, 'UNPAID', now() FROM generate_series(1, %s) n",
        *(statement, books.tenant.agency_id, BREAKS),
    )
    await books.sql("UPDATE statement SET lines = %s WHERE id = %s", BREAKS, statement)


async def test_three_hundred_thousand_breaks_are_written_in_bounded_memory(books: Books) -> None:
    await books.partner()
    await state(books)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = await books.match()
    assert (first.lines, first.breaks, first.opened, first.matched) == (BREAKS, BREAKS, BREAKS, 0)
    await state(books)
    again = await books.match()
    assert (again.breaks, again.opened, again.cured) == (BREAKS, 0, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB
    counted = await books.sql(
        "SELECT count(*) AS n, sum(value) AS value FROM reconciliation_break WHERE seen_run_id = %s",
        again.run_id,
    )
    assert tuple(counted[0]) == (BREAKS, BREAKS)
