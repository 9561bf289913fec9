"""What was open on an account ends when the account does, and that is on record."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from activities.account_messages import (
    AcceptOffer,
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


async def endings(desk: Desk, account: UUID) -> list[tuple[str, str | None, str | None]]:
    """What the timeline says of promises, offers and disputes that ended."""
    return [event for event in await desk.events(account) if event[0] in _ENDING and event[1]]


_ENDING = ("promise", "offer", "dispute")


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
    told = await endings(desk, account)
    assert told == [
        ("promise", "open", "kept" if how == "paid" else "cancelled"),
        ("offer", "open", "cancelled"),
        ("dispute", "open", "cancelled"),
    ]


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
    assert await endings(desk, account) == [("promise", "open", "cancelled"), ("offer", "open", "cancelled")]
    [event] = [e for e in await desk.timeline(account) if e["kind"] == "offer" and e["old"]]
    assert event["description"] == "Offer cancelled: the account is settled"


async def test_what_a_new_one_replaces_ends_on_the_timeline_too(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    promised = [
        await desk.ask(MakePromise, account, amount=Decimal(n), due_date=today() + DAY) for n in (50, 60)
    ]
    offered = [
        await desk.ask(OfferSettlement, account, amount=Decimal(n), expires_on=today() + DAY)
        for n in (500, 600)
    ]
    await desk.tell(AcceptOffer, account, offer_id=offered[1]["id"])
    third = await desk.ask(OfferSettlement, account, amount=Decimal(700), expires_on=today() + DAY)
    await desk.tell(AcceptOffer, account, offer_id=third["id"])

    cancelled = [event for event in await desk.timeline(account) if event["new"] == "cancelled"]
    assert [(event["description"], event["old"], event["details"]) for event in cancelled] == [
        ("Promise cancelled: a new one replaces it", "open", {"promise_id": promised[0]["id"]}),
        ("Offer cancelled: a new one replaces it", "open", {"offer_id": offered[0]["id"]}),
        ("Offer cancelled: another one is accepted", "accepted", {"offer_id": offered[1]["id"]}),
    ]
