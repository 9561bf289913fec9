"""The house's cash for payments that a bank states otherwise: moved once, whatever is stated afterwards."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.break_resolution import BreakChange
from domain.breaks import ApprovalNeeded, BreakChanged, Resolution
from tests.integration.partners.matching_books import NOW, TODAY, Books, opened_in_utc, paid

DAY = timedelta(days=1)
ACCEPT, WRITE_OFF = Resolution.ACCEPT_THEIRS, Resolution.WRITE_OFF


@pytest.fixture
async def books(module_database: Any) -> AsyncIterator[Books]:
    async with opened_in_utc(module_database) as made:
        await made.partner(kind="bank", approval_limit="1000.00")
        yield made


async def told(books: Books) -> list[tuple[str, str, Decimal | None, Decimal | None]]:
    """What is open of what is ours: kind, cause and both sides."""
    found = await books.breaks("state <> 'resolved' AND kind <> 'missing_here'")
    return sorted(((b.kind, b.probable_cause, b.ours, b.theirs) for b in found), key=str)


async def resolve(books: Books, resolution: Resolution, kind: str = "balance") -> None:
    """Resolve the one open break of a kind."""
    [broken] = [b for b in await books.breaks() if b.kind == kind]
    async with books.db.transaction(books.tenant) as tx:
        change = await BreakChange.begin(tx, broken.id, {})
        await change.resolve(resolution, "as they wrote to us")


async def adjusted(books: Books) -> Decimal:
    """What resolutions have added to the house's cash."""
    [row] = await books.sql(
        "SELECT COALESCE(sum(CASE WHEN p.debit = 'cash' THEN p.amount ELSE -p.amount END), 0) AS cash"
        "  FROM journal j JOIN posting p ON p.journal_id = j.id"
        " WHERE j.agency_id = %s AND j.kind IN ('adjustment', 'write_off')",
        books.tenant.agency_id,
    )
    return Decimal(row.cash)


async def back(books: Books, account: UUID, payment: UUID, amount: str, **values: Any) -> UUID:
    """A refund of a payment, on the ledger."""
    [row] = await books.sql("SELECT journal_id FROM payment WHERE id = %s", payment)
    journal = await books.post(account, f"-{amount}", kind="refund")
    await books.sql("UPDATE journal SET reverses_id = %s WHERE id = %s", row.journal_id, journal)
    await books.sql("UPDATE payment SET status = 'partially_refunded' WHERE id = %s", payment)
    values = {"status": "succeeded", "processor_ref": f"re_{uuid4().hex}", "journal_id": journal, **values}
    return await books.insert(
        "refund",
        payment_id=payment,
        origin="request",
        amount=amount,
        currency="USD",
        requested_by="test",
        **values,
    )


async def missed(books: Books, account: UUID, **values: Any) -> UUID:
    """A check of nine days ago that the bank's statement does not have."""
    values = {"method": "check", "reference": "late", "received_on": TODAY - 9 * DAY, **values}
    payment = await books.payment(account, "100.00", **values)
    await books.statement(paid("begin", "1.00", TODAY - 10 * DAY), paid("end", "1.00"))
    await books.match()
    return payment


async def again(books: Books, *lines: dict[str, Any]) -> None:
    """One more statement."""
    await books.statement(paid(uuid4().hex, "1.00"), *lines)
    await books.match()


async def test_a_missing_payment_is_written_off_once_until_it_comes_after_all(books: Books) -> None:
    await missed(books, await books.account("A-1", "5000.00"))
    assert await told(books) == [("missing_there", "never_stated", 100, None)]
    await resolve(books, WRITE_OFF, "missing_there")
    for _ in range(2):
        await again(books)
        assert await told(books) == []
    await again(books, paid("late", "100.00"))
    assert await told(books) == [("balance", "adjusted_before", 0, 100)]
    await resolve(books, ACCEPT)
    await again(books)
    assert (await told(books), await adjusted(books)) == ([], 0)


@pytest.mark.parametrize(("then", "now"), [("99.99", "9999999.00"), ("9999999.00", "99.99")])
async def test_a_limit_that_is_raised_counts_for_what_is_found_from_then_on(
    books: Books, then: str, now: str
) -> None:
    limit = "UPDATE partner SET approval_limit = %s WHERE id = %s"
    await books.sql(limit, then, books.partner_id)
    await missed(books, await books.account("A-1", "5000.00"))
    await books.sql(limit, now, books.partner_id)
    await again(books)
    with pytest.raises(ApprovalNeeded, match=r"limit of 99\.99"):
        await resolve(books, WRITE_OFF, "missing_there")


async def test_what_has_gone_back_meanwhile_is_not_written_off(books: Books) -> None:
    account = await books.account("A-1", "5000.00")
    payment = await missed(books, account)
    refund = await back(books, account, payment, "30.00")
    with pytest.raises(BreakChanged, match=r"it was 100\.00, it is 70\.00"):
        await resolve(books, WRITE_OFF, "missing_there")
    [broken] = await books.breaks("kind = 'missing_there'")
    async with books.db.transaction(books.tenant) as tx:
        change = await BreakChange.begin(tx, broken.id, {})
        with pytest.raises(BreakChanged):
            await change.propose(WRITE_OFF, "not even proposed", uuid4())
    # What of it is not there, less what went back: the bank has neither.
    await again(books)
    assert await told(books) == [("missing_there", "never_stated", 70, None)]
    await resolve(books, WRITE_OFF, "missing_there")
    await again(books)
    assert (await told(books), await adjusted(books)) == ([], -70)
    # The bank has paid the refund out of what it never had.
    await again(books, paid(str(refund), "-30.00"))
    assert await told(books) == [("missing_there", "never_stated", 30, None)]
    await resolve(books, WRITE_OFF, "missing_there")
    await again(books)
    assert (await told(books), await adjusted(books)) == ([], -100)


async def test_what_came_and_went_unseen_is_not_missed(books: Books) -> None:
    account = await books.account("A-1", "5000.00")
    payment = await missed(books, account)
    await back(books, account, payment, "100.00")
    await again(books)
    assert await told(books) == []
    [cured] = await books.breaks("kind = 'missing_there'")
    assert cured.resolution == "cured"


async def test_what_was_taken_over_counts_when_the_rest_is_stated(books: Books) -> None:
    await books.payment(await books.account("A-1", "5000.00"), "100.00", processor_ref="pi_1")
    await again(books, paid("pi_1", "80.00"))
    await resolve(books, ACCEPT)
    await again(books, paid("pi_1", "20.00", TODAY + DAY))
    assert await told(books) == [("balance", "adjusted_before", 80, 100)]
    await resolve(books, ACCEPT)
    await again(books)
    assert (await told(books), await adjusted(books)) == ([], 0)


async def test_a_break_of_its_refund_does_not_bring_back_that_of_a_payment(books: Books) -> None:
    account = await books.account("A-1", "5000.00")
    payment = await books.payment(account, "100.00", processor_ref="pi_1", created_at=NOW)
    await again(books, paid("pi_1", "80.00"))
    await resolve(books, ACCEPT)
    await back(books, account, payment, "15.00", processor_ref="re_1")
    await again(books, paid("re_1", "-12.00"))
    for _ in range(2):
        assert await told(books) == [("balance", "other_amount", -15, -12)]
        await again(books)
    await resolve(books, ACCEPT)
    await again(books)
    assert (await told(books), await adjusted(books)) == ([], -17)
