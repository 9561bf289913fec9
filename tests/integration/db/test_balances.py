"""A balance that changes takes its postings and its rank along, or is not committed."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text

from activities.account_change import AccountChange
from db.scorecard_files import builtin_scorecards
from db.session import DatabaseRefused
from domain.errors import Conflict, NotFound
from domain.ledger import LedgerAccount, Parts
from tests.integration.scoring.conftest import Books, agencies, books, database, db, placed

__all__ = ["agencies", "books", "database", "db", "placed"]

SCORERS = builtin_scorecards()


async def receive(books: Books, account: UUID, amount: str, key: str = "p-1") -> UUID:
    async with books.db.transaction(books.tenant) as tx:
        change = await AccountChange.begin(tx, account, SCORERS)
        journal = await change.receive(Decimal(amount), key=key, occurred_at=datetime.now(UTC))
        await change.settle()
    return journal


async def state(books: Books, account: UUID) -> tuple[Decimal, Decimal]:
    """The balance and the priority score."""
    [row] = await books.query(
        "SELECT a.balance, s.rank, s.total FROM account a JOIN account_score s ON s.account_id = a.id"
        " WHERE a.id = %s",
        account,
    )
    assert row["rank"] == int(row["balance"] * row["total"] * 100), "the rank is risk times this balance"
    return row["balance"], Decimal(row["rank"]).scaleb(-2)


async def test_the_rank_follows_each_change_of_balance(books: Books) -> None:
    await books.score_all()
    account = await books.account("9")
    placed, ranked = await state(books, account)
    journal = await receive(books, account, "100.50")
    assert (await state(books, account))[0] == placed - Decimal("100.50")

    await reverse(books, account, journal)
    assert await state(books, account) == (placed, ranked)

    await receive(books, account, format(placed, "f"), key="p-2")
    assert await state(books, account) == (0, 0)
    [score] = await books.query("SELECT queued FROM account_score WHERE account_id = %s", account)
    assert score["queued"] is False
    # These accounts were made without the posting of their placement; all that came after adds up.
    async with books.db.transaction(books.tenant) as tx:
        [posted] = [b.posted async for b in tx.ledger.breaches() if b.account_id == account]
    assert posted == -placed


async def reverse(
    books: Books, account: UUID, journal: UUID, key: str = "r-1", amount: str | None = None
) -> None:
    async with books.db.transaction(books.tenant) as tx:
        change = await AccountChange.begin(tx, account, SCORERS)
        part = None if amount is None else Decimal(amount)
        await change.give_back(journal, part, key=key, occurred_at=datetime.now(UTC))
        await change.settle()


async def test_a_payment_goes_back_once_however_often_it_is_said(books: Books) -> None:
    await books.score_all()
    account = await books.account("9")
    journal = await receive(books, account, "100.50")
    before = await state(books, account)

    said = await asyncio.gather(
        *(reverse(books, account, journal, f"r-{n}") for n in range(3)), return_exceptions=True
    )
    with pytest.raises(Conflict, match="reversed already"):
        await reverse(books, account, journal, "r-late")

    assert sorted(str(type(one).__name__) for one in said) == ["Conflict", "Conflict", "NoneType"]
    assert (await state(books, account))[0] == before[0] + Decimal("100.50")


async def test_a_payment_goes_back_in_parts_and_never_more_of_it_than_there_was(books: Books) -> None:
    await books.score_all()
    account = await books.account("9")
    placed, _ = await state(books, account)
    over = format(placed + 40, "f")
    journal = await receive(books, account, over)
    assert await state(books, account) == (0, 0)

    await reverse(books, account, journal, "r-1", "50.00")
    assert (await state(books, account))[0] == 10, "what was never owed goes back first"
    said = await asyncio.gather(
        *(reverse(books, account, journal, f"r-{n}", format(placed - 20, "f")) for n in (2, 3)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in said) == ["Conflict", "NoneType"]
    assert (await state(books, account))[0] == placed - 10
    await reverse(books, account, journal, "r-4")
    assert (await state(books, account))[0] == placed


async def test_only_a_payment_of_this_very_account_goes_back(books: Books) -> None:
    await books.score_all()
    account, other = await books.account("9"), await books.account("8")
    now = datetime.now(UTC)
    paid = await receive(books, account, "100.50")
    await reverse(books, account, paid)
    theirs = await receive(books, other, "10.00", key="p-2")
    [reversal] = await books.query("SELECT id FROM journal WHERE reverses_id = %s", paid)
    async with books.db.transaction(books.tenant) as tx:
        placed = await tx.ledger.place(account, Decimal(5), "USD", key="pl-1", occurred_at=now)
        both = await tx.ledger.receive(account, Parts(debt=Decimal(1)), "USD", key="p-3", occurred_at=now)
        await tx.ledger._post(both, other, LedgerAccount.CASH, LedgerAccount.RECEIVABLE, Decimal(1), "USD")
    before = await state(books, account)

    for journal in (reversal["id"], theirs, placed, both):
        with pytest.raises(Conflict, match="no payment of this account"):
            await reverse(books, account, journal, "r-9")
    with pytest.raises(NotFound):
        await reverse(books, account, account, "r-9")

    assert await state(books, account) == before


@pytest.mark.parametrize("version", ["version", "version + 1"])
async def test_a_balance_that_leaves_its_rank_behind_is_not_committed(books: Books, version: str) -> None:
    await books.score_all()
    account = await books.account("9")
    with pytest.raises(DatabaseRefused, match="score_follows_balance"):
        async with books.db.transaction(books.tenant) as tx:
            await tx.session.execute(
                text(f"UPDATE account SET balance = balance - 1, version = {version} WHERE id = :id"),  # noqa: S608
                {"id": account},
            )
