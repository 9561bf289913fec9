"""Accounts as a partner states them against ours, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.partners.matching_books import NOW, Books, opened, said


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened(module_database) as made:
        yield made


async def test_what_agrees_is_matched_and_what_differs_is_a_break(books: Books) -> None:
    await books.partner()
    for ref in ("A-1", "A-2", "A-3"):
        await books.account(ref)
    await books.statement(
        said("A-1", "500.99"), said("A-2", "450.00"), said("A-3", status="PAID"), said("A-9")
    )
    figures = await books.match()
    assert await books.told() == [
        ("balance", "A-2", "less_there"),
        ("missing_here", "A-9", "unknown_reference"),
        ("status", "A-3", "paid_only_there"),
    ]
    assert (figures.lines, figures.matched, figures.breaks, figures.opened) == (4, 3, 3, 3)
