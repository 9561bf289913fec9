"""Which statements a run is given, and what it may call missing there by them, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.partners.matching_books import NOW, Books, opened, said


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


async def test_an_account_is_not_missed_whose_unreadable_line_names_it_in_another_way(books: Books) -> None:
    await books.partner("matching: {variants: {strip_prefixes: [NG-], ignore_leading_zeros: true}}")
    refs = ["A-1", "A-2", "A-3", "07", "A-5"]
    accounts = [await books.account(ref) for ref in refs]
    await books.sent(*accounts)
    broken = {"balance": None, "problem": "balance is empty; every line needs it"}
    await books.statement(
        said("A-5"),
        said("NG-A-1", **broken),
        said(str(accounts[1]), **broken),
        said("7", **broken),
    )
    await books.match()
    assert await books.told() == [("missing_there", "A-3", "never_stated")]


async def test_an_unreadable_line_is_no_variant_of_another_than_it_names(books: Books) -> None:
    await books.partner("matching: {variants: {ignore_leading_zeros: true}}")
    await books.sent(*[await books.account(ref) for ref in ("7", "07", "8")])
    await books.statement(said("8"), said("7", balance=None, problem="balance is empty; every line needs it"))
    await books.match()
    assert await books.told() == [("missing_there", "07", "never_stated")]


async def test_a_statement_that_is_meant_to_be_empty_names_no_account(books: Books) -> None:
    await books.partner()
    await books.sent(await books.account("A-1"), await books.account("A-2", "0.00", status="settled"))
    await books.statement(said("A-1"), said("A-9", "7.00"))
    await books.match()
    assert await books.told() == [("missing_here", "A-9", "unknown_reference")]
    await books.statement()
    figures = await books.match()
    assert (figures.lines, figures.cured) == (0, 1)
    assert await books.told() == [("missing_there", "A-1", "not_stated")]


@pytest.mark.parametrize("lines", [[], [said(None, problem="account_ref is empty")]], ids=["none", "unread"])
async def test_nothing_is_missed_by_what_says_nothing(books: Books, lines: list[dict[str, Any]]) -> None:
    await books.partner()
    await books.sent(await books.account("A-1"))
    if lines:
        await books.statement(*lines)
    await books.match()
    assert await books.told() == []


async def test_what_is_missed_beside_a_line_that_names_nothing_says_so(books: Books) -> None:
    await books.partner()
    await books.sent(*[await books.account(ref) for ref in ("A-1", "A-2", "A-3")])
    unnamed = said(None, problem="account_ref is empty; every line needs one")
    await books.statement(said("A-1"), unnamed, said("A-3", None, problem="balance is empty"))
    await books.match()
    assert await books.told() == [("missing_there", "A-2", "perhaps_unreadable")]


async def test_messages_alone_are_all_only_of_a_partner_that_sends_no_files(books: Books) -> None:
    refs = ["A-1", "A-2"]
    accounts = [await books.account(ref) for ref in refs]
    await books.partner()
    await books.sent(*accounts)
    await books.statement(*(said(ref) for ref in (*refs, "A-9")))
    await books.match()
    again = said("A-1", processed_at=NOW)
    await books.statement(again, channel="messages")
    figures = await books.match()
    assert (figures.matched, figures.cured) == (1, 0)
    assert await books.told() == [("missing_here", "A-9", "unknown_reference")]

    await books.partner()
    await books.sent(*accounts)
    await books.statement(again, channel="messages")
    await books.match()
    assert await books.told() == [("missing_there", "A-2", "never_stated")]
