"""A simulated bank's statement, matched: the truth file and the run agree."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from activities.statement_file import StatementReader
from domain.statement_profiles import StatementProfile
from sandbox.partner_shares import Shares
from sandbox.partner_simulator import simulate
from sandbox.planted import Measure, Score, Truth
from tests.integration.partners.matching_books import NOW, Books, opened

PAYMENTS = 240
NOTHING = Shares(*(Decimal(0) for _ in range(11)))
EXACT = replace(
    NOTHING,
    balance=Decimal("0.10"),
    missing=Decimal("0.05"),
    duplicates=Decimal("0.05"),
    currency=Decimal("0.02"),
    unknown=Decimal("0.05"),
    splits=Decimal("0.05"),
)


@dataclass
class Bank:
    """Payments of a quarter, and a bank that states them."""

    books: Books

    async def stated(self, shares: Shares, seed: int = 3) -> tuple[Truth, Score]:
        """A statement of a new bank, matched, and how right that is."""
        await self.books.partner(kind="bank")
        async with self.books.db.transaction(self.books.tenant) as tx:
            partner = await tx.partners.get(self.books.partner_id)
            made = await simulate(tx, partner, seed=seed, shares=shares)
            opened_ = await tx.statements.open_file(
                partner.id, name="a", location="/a", sha256="1", size=1, mtime=1, profile=""
            )
            holder, _ = await tx.statements.take_over(opened_.statement.id)
            reader = StatementReader(StatementProfile(kind="payments"), read_at=NOW, stated_at=NOW)
            lines = pl.concat(
                [chunk.lines for chunk in (*reader.feed(made.content), *reader.finish())], how="diagonal"
            )
            await tx.statements.append_lines(opened_.statement.id, holder, lines, {})
            await tx.statements.finish(opened_.statement.id, holder)
        assert lines["problem"].null_count() == len(lines) == made.truth.lines
        await self.books.match()
        return made.truth, made.truth.score([(b.kind, b.subject) for b in await self.books.breaks()])

    async def links(self, truth: Truth) -> Measure:
        """How many of the lines without an exact reference were given to their payment."""
        rows = await self.books.sql(
            "SELECT line, item_id FROM payment_match WHERE partner_id = %s", self.books.partner_id
        )
        lines = {link["line"] for link in truth.links}
        found = {(row.line, row.item_id) for row in rows if row.line in lines}
        planted = {(link["line"], UUID(link["subject"])) for link in truth.links}
        return Measure(true=len(found & planted), found=len(found), planted=len(planted))


@pytest.fixture(scope="module")
async def bank(module_database: Any) -> AsyncIterator[Bank]:
    dice = Random(1)  # noqa: S311 - the same payments every time, no secret
    async with opened(module_database) as books:
        accounts = [
            await books.account(f"ac-{n:03d}", "90000.00", name=f"{_FIRST[n % 6]} {_LAST[n // 6]}")
            for n in range(36)
        ]
        for n in range(PAYMENTS):
            at = NOW - timedelta(days=dice.randint(0, 90))
            amount = Decimal(dice.randint(1_000, 90_000)) / 100
            await books.payment(dice.choice(accounts), str(amount), processor_ref=f"pi_{n}", created_at=at)
        yield Bank(books)


_FIRST = ("Ana", "Bo", "Cleo", "Dov", "Eva", "Finn")
_LAST = ("Lima", "Moreau", "Nilsson", "Okafor", "Petrov", "Quispe")


async def test_every_planted_break_of_payments_is_found_and_nothing_else(bank: Bank) -> None:
    truth, score = await bank.stated(EXACT)
    assert (score.missed, score.invented) == (frozenset(), frozenset())
    assert (score.overall.precision, score.overall.recall) == (1.0, 1.0)
    expected = {"balance": 24, "missing_there": 12, "duplicate": 12, "currency": 5, "missing_here": 12}
    assert truth.counts == expected
    assert truth.notes == []
    assert (await bank.links(truth)) == Measure(24, 24, 24), "both lines of twelve splits"


async def test_a_statement_of_everything_differs_in_nothing(bank: Bank) -> None:
    truth, score = await bank.stated(NOTHING)
    assert (truth.lines, score.overall) == (PAYMENTS, Measure(0, 0, 0))


async def test_lines_without_a_reference_are_found_by_account_or_payer_and_never_guessed(bank: Bank) -> None:
    truth, score = await bank.stated(replace(NOTHING, variants=Decimal("0.20")))
    assert {link["how"] for link in truth.links} == {"account", "payer"}
    links = await bank.links(truth)
    assert links.planted == 48
    assert (links.precision, links.recall) == (1.0, 1.0), score.as_json()
    assert score.overall.found == 0
