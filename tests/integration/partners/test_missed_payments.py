"""Payments that a bank does not state: missed once it had the time, unless a line may speak of them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.partners.matching_books import NOW, TODAY, Books, bank, opened_in_utc, paid, sums

DAY = timedelta(days=1)


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened_in_utc(module_database) as made:
        yield made


async def test_what_the_bank_does_not_state_is_missed_once_it_had_the_time(books: Books) -> None:
    await bank(books, "matching: {payments: {window_days: 2, methods: [check, bank_transfer]}}")
    account = await books.account("A-1", "5000.00")
    for ref, days, method in (
        ("before", 20, "check"),
        ("late", 5, "check"),
        ("young", 1, "check"),
        ("future", -3, "check"),
        ("cash", 5, "cash"),
        ("stated", 9, "check"),
    ):
        await books.payment(account, "100.00", method=method, reference=ref, received_on=TODAY - days * DAY)
    await books.payment(account, "100.00", status="failed", reference="failed", received_on=TODAY - 5 * DAY)
    await books.statement(paid("stated", "100.00", TODAY - 10 * DAY), paid("end", "1.00"))
    await books.match()
    assert await sums(books) == [
        ("missing_here", "unknown_reference", None, 1),
        ("missing_there", "never_stated", 100, None),
        ("timing", "in_transit", 100, None),
    ]
    await books.statement(paid("late", "100.00", TODAY + DAY), paid("end", "1.00", TODAY + 4 * DAY))
    figures = await books.match()
    # The young one has become old, and is the same break; messages alone miss nothing.
    assert [kind for kind, *_ in await sums(books)] == [
        "missing_here",
        "missing_here",
        "missing_there",
        "timing",
    ]
    assert figures.cured == 1
    await books.statement(paid("young", "100.00", TODAY + 5 * DAY), channel="messages")
    assert (await books.match("messages")).cured == 1
    assert [kind for kind, *_ in await sums(books)] == ["missing_here", "missing_here", "timing"]


async def test_a_payment_of_which_an_unreadable_line_may_speak_is_neither_missed_nor_cured(
    books: Books,
) -> None:
    await bank(books)
    account, other = await books.account("A-1", "1000.00"), await books.account("A-2", "1000.00")
    at = NOW - 9 * DAY
    for ref, of in (("pi_1", account), ("pi_2", account), ("pi_3", other), ("pi_4", account)):
        await books.payment(of, "100.00", processor_ref=ref, created_at=at)
    await books.statement(paid("pi_4", "100.00", at.date()))
    await books.statement(paid("pi_1", "90.00", at.date()), paid("X", "1.00"))
    await books.match()
    assert await sums(books) == [
        ("balance", "other_amount", 100, 90),
        ("missing_here", "unknown_reference", None, 1),
        ("missing_there", "never_stated", 100, None),
        ("missing_there", "never_stated", 100, None),
    ]
    problem = {"amount": None, "paid_on": None, "problem": "amount is empty"}
    await books.statement(
        paid("Y", "2.00"),
        paid("pi_2", "0.00") | problem,
        paid(None, "0.00", account_ref="A-2") | problem,
    )
    again = await books.match()
    assert again.cured == 0
    missed = await books.breaks("kind = 'missing_there' AND state <> 'resolved'")
    assert len(missed) == 2

    await books.payment(account, "70.00", processor_ref="pi_5", created_at=at)
    await books.payment(other, "70.00", processor_ref="pi_6", created_at=at)
    of_other = paid(None, "0.00", account_ref="A-2") | problem
    await books.statement(paid("Z", "3.00"), paid(None, "0.00") | problem, of_other)
    await books.match()
    [fresh] = await books.breaks("ours = 70")
    assert (fresh.kind, fresh.probable_cause) == ("missing_there", "perhaps_unreadable")


async def test_a_payment_is_not_missed_by_a_statement_that_cannot_be_read_where_it_stands(
    books: Books,
) -> None:
    await bank(books)
    account, at = await books.account("A-1", "1000.00"), NOW - 9 * DAY
    payment = await books.payment(account, "100.00", method="cash", created_at=at)
    await books.payment(account, "30.00", created_at=at, charge_ref="ch_1")
    await books.payment(account, "40.00", created_at=at, reference="1001", method="check")
    await books.partner("matching: {payments: {methods: [cash, check, bank_transfer]}}", kind="bank")
    unread = [
        paid(ref, "0.00") | {"amount": None, "paid_on": None, "problem": "amount is empty"}
        for ref in (str(payment).upper(), "ch_1", "1001")
    ]
    await books.statement(paid("first", "1.00", at.date()), paid("last", "1.00"), *unread)
    await books.match()
    assert {b.kind for b in await books.breaks()} == {"missing_here"}
