"""What an automatic stay forbids, and that one settlement stands at a time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from activities.account_messages import (
    AcceptOffer,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    RecordDispute,
    Transition,
)
from domain.accounts import AccountStatus, IllegalMove
from domain.errors import Conflict
from domain.holds import HoldKind
from tests.integration.accounts.desk import Desk

SOON = datetime.now(UTC).date() + timedelta(days=7)


async def test_nothing_is_promised_or_offered_while_the_person_is_bankrupt(desk: Desk) -> None:
    debtor = await desk.debtor()
    held, other = [await desk.place(debtor, status="negotiating") for _ in range(2)]
    await desk.tell(PlaceHold, held, kind=HoldKind.BANKRUPTCY, reason="petition filed")
    for account in (held, other):
        with pytest.raises(Conflict, match="bankrupt"):
            await desk.tell(MakePromise, account, amount=Decimal("10.00"), due_date=SOON)
        with pytest.raises(Conflict, match="bankrupt"):
            await desk.tell(OfferSettlement, account, percent=Decimal(50), expires_on=SOON)


@pytest.mark.parametrize("in_writing", [True, False])
async def test_a_dispute_of_the_period_stays_collection_whatever_status_is_set_by_hand(
    desk: Desk, *, in_writing: bool
) -> None:
    """12 CFR 1006.38(d)(2) asks for writing; what is said on the telephone stops work by status only."""
    account = await desk.place(status="negotiating")
    received = datetime.now(UTC).date() - timedelta(days=1)
    made = await desk.ask(
        RecordDispute, account, reason="not mine", received_on=received, in_writing=in_writing
    )
    with pytest.raises(IllegalMove):
        await desk.tell(MakePromise, account, amount=Decimal("10.00"), due_date=SOON)
    await desk.tell(Transition, account, new_status=AccountStatus.IN_CONTACT)
    promise, offer = (
        {"amount": Decimal("10.00"), "due_date": SOON},
        {"percent": Decimal(50), "expires_on": SOON},
    )
    if not in_writing:
        await desk.tell(MakePromise, account, **promise)
        await desk.tell(OfferSettlement, account, **offer)
        return
    with pytest.raises(Conflict, match="dispute is answered") as refused:
        await desk.tell(MakePromise, account, **promise)
    assert refused.value.details == {"dispute_id": made["id"]}
    with pytest.raises(Conflict, match="dispute is answered"):
        await desk.tell(OfferSettlement, account, **offer)


async def test_an_offer_that_is_accepted_replaces_the_one_before(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    accepted = []
    for percent in (50, 60):
        offer = await desk.ask(OfferSettlement, account, percent=Decimal(percent), expires_on=SOON)
        accepted.append((await desk.ask(AcceptOffer, account, offer_id=offer["id"]))["id"])
    rows = await desk.query(
        "SELECT id, status FROM settlement_offer WHERE account_id = %s ORDER BY id", account
    )
    assert [(str(row["id"]), row["status"]) for row in rows] == [
        (accepted[0], "cancelled"),
        (accepted[1], "accepted"),
    ]
