"""What Stripe has done is written down whatever our books expected: money, holds, and whose refund it is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from activities.payment_messages import DisputeFacts, IntentFacts, RefundFacts
from activities.provider_follower import ProviderFollower
from activities.stripe_news import News, StripeNews
from db.models import Payment
from db.session import DatabaseRefused
from domain.payments import PaymentStatus
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.test_payment_books import Till, sound

P = PaymentStatus


@pytest.fixture
def till(desk: Desk) -> Till:
    return Till(desk)


async def test_a_dispute_of_what_was_refunded_in_part_takes_the_rest_and_is_a_loss(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    await till.refund(ref, "10.00", "succeeded")
    assert await till.dispute(ref, "40.00", "needs_response") is P.DISPUTED

    assert await till.house(account) == {
        "cash": 10,
        "placements": 100,
        "receivable": -100,
        "processor_losses": -10,
    }
    row = await till.desk.account(account)
    assert (row["balance"], row["held"]) == (100, True)
    words = [event["description"] for event in await till.desk.timeline(account)]
    assert "Chargeback of 40.00 USD (fraudulent): needs response" in words

    assert await till.dispute(ref, "40.00", "won") is P.PARTIALLY_REFUNDED
    house = await till.house(account)
    assert house == {"cash": -30, "placements": 100, "receivable": -70}
    assert await till.holds(account) == [("payments", False)]
    await sound(till)


async def test_a_refund_that_succeeds_in_a_dispute_is_posted_and_so_is_its_end(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    await till.refund(ref, "25.00", "pending")
    await till.dispute(ref, "40.00", "needs_response")
    assert await till.refund(ref, "25.00", "succeeded") is P.DISPUTED
    assert (await till.house(account))["processor_losses"] == -25
    assert await till.dispute(ref, "40.00", "won") is P.PARTIALLY_REFUNDED
    assert await till.house(account) == {"cash": -15, "placements": 100, "receivable": -85}
    assert (await till.desk.account(account))["balance"] == 85

    assert await till.refund(ref, "25.00", "failed") is P.SUCCEEDED
    assert (await till.desk.account(account))["balance"] == 60
    await sound(till)


async def test_more_refunds_than_there_was_are_posted_and_shown_as_all_of_it(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    await till.refund(ref, "30.00", "succeeded", "re_1")
    assert await till.refund(ref, "30.00", "succeeded", "re_2") is P.REFUNDED
    assert (await till.payment(ref))["refunded_amount"] == Decimal(40)
    assert (await till.house(account))["cash"] == 20
    await sound(till)
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert [breach async for breach in tx.payment_audit.breaches()] == []


async def test_a_fact_that_cannot_be_written_keeps_no_other_from_being_written(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    known: dict[str, Any] = {"currency": "USD", "created": datetime.now(UTC)}
    refunds = [
        RefundFacts(refund_ref=f"re_{amount}", status="succeeded", amount=Decimal(amount), **known)
        for amount in (0, 10)
    ]
    dispute = DisputeFacts(
        dispute_ref="dp", status="needs_response", reason="x", amount=Decimal(40), inquiry=False, **known
    )
    intent = IntentFacts(
        intent_ref=f"pi_{ref.payment_id.hex}", status="succeeded", amount_received=Decimal(40), **known
    )
    news = News(intent, ref.payment_id, tuple(refunds), (dispute,))

    async def tell(payment: Payment, refunds: Sequence[UUID]) -> None:
        raise AssertionError("nobody waits")

    nowhere: Any = None
    follower = ProviderFollower(till.desk.db, till.books, StripeNews(nowhere), tell)
    with pytest.raises(DatabaseRefused, match="ck_refund_amount"):
        await follower.bring(ref.agency_id, news)
    assert (await till.payment(ref))["status"] == "disputed"
    assert (await till.payment(ref))["refunded_amount"] == 10
    assert (await till.house(account))["cash"] == 10
