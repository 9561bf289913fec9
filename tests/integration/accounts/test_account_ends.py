"""What was open on an account ends when the account does, and that is on record."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from activities.account_messages import (
    Close,
    MakePromise,
    OfferSettlement,
    Recall,
    RecordDispute,
    Transition,
)
from domain.accounts import AccountStatus
from tests.integration.accounts.desk import PLACED_AT, Desk

S = AccountStatus
DAY = timedelta(days=1)


def today() -> date:
    return datetime.now(UTC).date()


async def statuses(desk: Desk, table: str, account: UUID) -> list[str]:
    rows = await desk.query(
        f"SELECT status FROM {table} WHERE account_id = %s ORDER BY id",  # noqa: S608 - of constants
        account,
    )
    return [row["status"] for row in rows]


@pytest.mark.parametrize("how", ["recall", "close", "paid"])
async def test_closing_ends_what_was_open(desk: Desk, how: str) -> None:
    account = await desk.place(status="negotiating")
    await desk.tell(MakePromise, account, amount=Decimal("50.00"), due_date=today() + DAY)
    await desk.tell(OfferSettlement, account, amount=Decimal("500.00"), expires_on=today() + DAY)
    await desk.tell(RecordDispute, account, reason="x", received_on=today(), in_writing=False)
    if how == "recall":
        await desk.tell(Recall, account, reason="creditor asked")
    elif how == "close":
        await desk.tell(Close, account, reason="uncollectible")
    else:
        await desk.pay(account, "1000.00")
    row = await desk.account(account)
    reason = {"recall": "recalled", "close": "uncollectible", "paid": "paid"}[how]
    assert (row["status"], row["closed_reason"], row["promised"], row["queued"]) == (
        "closed",
        reason,
        False,
        False,
    )
    assert await statuses(desk, "promise", account) == ["kept" if how == "paid" else "cancelled"]
    assert await statuses(desk, "settlement_offer", account) == ["cancelled"]
    assert await statuses(desk, "dispute", account) == ["cancelled"]
    assert await desk.deadlines(account) == []
    actions = [record["action"] for record in await desk.audit(account)]
    ended = ["promise.kept" if how == "paid" else "promise.cancelled", "offer.cancelled", "dispute.cancelled"]
    assert [actions.count(action) for action in ended] == [1, 1, 1]


@pytest.mark.parametrize("how", ["by hand", "paid"])
async def test_a_settled_account_waits_for_no_promise_and_no_offer(desk: Desk, how: str) -> None:
    account = await desk.place(status="negotiating")
    await desk.tell(MakePromise, account, amount=Decimal("50.00"), due_date=today() + DAY)
    await desk.tell(OfferSettlement, account, amount=Decimal("500.00"), expires_on=today() + DAY)
    if how == "paid":
        # Before it was promised: the money keeps no promise, and yet nothing is owed.
        await desk.pay(account, "1000.00", at=PLACED_AT)
    else:
        await desk.tell(Transition, account, new_status=S.SETTLED)

    row = await desk.account(account)
    assert (row["status"], row["promised"]) == ("closed" if how == "paid" else "settled", False)
    assert await statuses(desk, "promise", account) == ["cancelled"]
    assert await statuses(desk, "settlement_offer", account) == ["cancelled"]
    because = {"account_id": str(account), "account_status": "settled"}
    ends = {record["action"]: record["new"] for record in await desk.audit(account)}
    assert (ends["promise.cancelled"], ends["offer.cancelled"]) == (because, because)
