"""Credits that are applied to debts, while the payments that brought them are disputed, won and refunded."""

from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from activities.account_change import AccountChange
from activities.credits import apply_credit, shares
from domain.payments import PaymentStatus
from tests.integration.accounts.desk import SCORERS, Desk
from tests.integration.accounts.test_payment_books import Till, sound

P = PaymentStatus


@pytest.fixture
def till(desk: Desk) -> Till:
    return Till(desk)


async def apply(till: Till, account: UUID, debt: UUID, amount: str) -> None:
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        owner = await AccountChange.begin(tx, account, SCORERS)
        other = owner if debt == account else await owner.beside(debt)
        taken = shares(await tx.credits.sources(account), Decimal(amount))
        assert sum(share.amount for share in taken) == Decimal(amount)
        await apply_credit(owner, other, taken, key=uuid4().hex, occurred_at=tx.began_at)
        await other.settle()


async def stands(till: Till, *accounts: UUID) -> list[str]:
    """Status and balance of accounts."""
    rows = [await till.desk.account(account) for account in accounts]
    return [f"{row['status']} {row['balance']}" for row in rows]


async def books_hold(till: Till) -> None:
    await sound(till)
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert [one async for one in tx.payment_audit.breaches()] == []


async def test_a_dispute_takes_it_off_the_other_debt_and_a_win_owes_it_back_again(till: Till) -> None:
    debtor = await till.desk.debtor()
    account = await till.desk.place(debtor, "100.00", status="negotiating")
    other = await till.desk.place(debtor, "50.00", status="negotiating")
    ref = await till.paid(account, "130.00")
    await apply(till, account, other, "20.00")
    await apply(till, account, other, "10.00")
    assert await stands(till, account, other) == ["closed 0.00", "negotiating 20.00"]

    assert await till.dispute(ref, "130.00", "needs_response") is P.DISPUTED
    assert await stands(till, account, other) == ["in_contact 100.00", "negotiating 50.00"]
    await books_hold(till)

    assert await till.dispute(ref, "130.00", "won") is P.SUCCEEDED
    assert await stands(till, account, other) == ["closed 0.00", "negotiating 50.00"]
    assert (await till.house(account))["credit_balances"] == 30
    await books_hold(till)


async def test_a_part_that_goes_back_takes_the_latest_application_first(till: Till) -> None:
    debtor = await till.desk.debtor()
    account = await till.desk.place(debtor, "100.00", status="negotiating")
    debts = [await till.desk.place(debtor, "50.00", status="negotiating") for _ in range(2)]
    ref = await till.paid(account, "160.00")
    for debt in debts:
        await apply(till, account, debt, "25.00")
    await till.refund(ref, "30.00", "succeeded")
    assert await stands(till, account, *debts) == ["closed 0.00", "negotiating 25.00", "negotiating 45.00"]
    await till.refund(ref, "40.00", "succeeded", "re_2")
    assert await stands(till, account, *debts) == [
        "in_contact 10.00",
        "negotiating 50.00",
        "negotiating 50.00",
    ]
    await books_hold(till)


async def test_on_its_own_account_it_counts_when_it_is_applied(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    first = await till.paid(account, "100.00")
    second = await till.ask(account, "30.00")
    await till.intent(second, "succeeded", "30.00")
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        since = tx.began_at
    await till.refund(first, "100.00", "succeeded")
    assert await stands(till, account) == ["in_contact 70.00"]
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert await tx.payments.received_since(account, since) == 30
    await till.refund(second, "30.00", "succeeded")
    assert await stands(till, account) == ["in_contact 100.00"]
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert await tx.payments.received_since(account, since) == 0
    await books_hold(till)
