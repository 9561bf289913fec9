"""What Stripe has done is written down whatever our books expected: money, holds, and whose refund it is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from activities.account_change import AccountChange
from activities.account_messages import AcceptOffer, OfferSettlement, PlaceHold, Recall, ReleaseHold
from activities.payment_messages import DisputeFacts, IntentFacts, PaymentRef, RefundFacts
from activities.payment_postings import PaymentChange
from activities.provider_follower import ProviderFollower
from activities.stripe_news import News, StripeNews
from db.models import Payment
from db.session import DatabaseRefused
from domain.holds import HoldKind
from domain.payments import PaymentStatus
from tests.integration.accounts.desk import SCORERS, Desk
from tests.integration.accounts.test_payment_books import Till, sound

if TYPE_CHECKING:
    from db.lifecycles import NoticeSignal

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


async def asked_for(till: Till, ref: PaymentRef, amount: str) -> UUID:
    """A refund that somebody here has asked for."""
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        payment = await tx.payments.lock(ref.payment_id)
        return (await tx.refunds.add(payment, Decimal(amount), origin="request")).id


async def refunds_of(till: Till, ref: PaymentRef) -> list[tuple[Any, ...]]:
    query = "SELECT origin, status, amount FROM refund WHERE payment_id = %s ORDER BY id"
    return [
        (row["origin"], row["status"], row["amount"]) for row in await till.desk.query(query, ref.payment_id)
    ]


async def test_a_refund_at_stripe_answers_the_one_that_was_asked_for_and_no_second_does(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    ours = await asked_for(till, ref, "10.00")
    for name in ("re_1", "re_1", "re_2"):
        await till.refund(ref, "10.00", "succeeded", name, refund_id=ours)
    assert await refunds_of(till, ref) == [("request", "succeeded", 10), ("provider", "succeeded", 10)]
    assert (await till.desk.account(account))["balance"] == 80
    await sound(till)


@pytest.mark.parametrize("named", ["other payment", "nowhere", "other amount", "refused"])
async def test_a_refund_that_names_one_it_does_not_answer_is_one_of_its_own(till: Till, named: str) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref, other = await till.paid(account, "40.00"), await till.paid(account, "20.00")
    amount = "10.00" if named != "other amount" else "9.00"
    ours = await asked_for(till, other if named == "other payment" else ref, amount)
    if named == "refused":
        await till.desk.query("UPDATE refund SET status = 'failed' WHERE id = %s", ours)
    await till.refund(ref, "10.00", "succeeded", "re_1", refund_id=uuid4() if named == "nowhere" else ours)
    assert ("provider", "succeeded", Decimal(10)) in await refunds_of(till, ref)
    assert (await till.desk.account(account))["balance"] == 50
    await sound(till)


async def test_the_hold_ends_with_the_last_of_the_disputes_that_brought_it(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    first, second = await till.paid(account, "40.00"), await till.paid(account, "20.00")
    await till.dispute(first, "40.00", "needs_response")
    await till.dispute(second, "20.00", "needs_response")
    assert await till.holds(account) == [("payments", True)]
    await till.dispute(first, "40.00", "won")
    assert await till.holds(account) == [("payments", True)], "the second is open"
    await till.dispute(second, "20.00", "lost")
    assert await till.holds(account) == [("payments", True)], "nobody has looked at what was lost"
    await till.dispute(second, "20.00", "won")
    assert await till.holds(account) == [("payments", False)], "the bank has reversed what it decided"
    assert (await till.desk.account(account))["balance"] == 40
    await sound(till)


async def test_a_hold_that_somebody_has_placed_outlasts_the_dispute(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    await till.desk.tell(PlaceHold, account, kind=HoldKind.CHARGEBACK, reason="the bank called")
    ref = await till.paid(account, "40.00")
    await till.dispute(ref, "40.00", "needs_response")
    await till.dispute(ref, "40.00", "won")
    assert await till.holds(account) == [("admin", True)]
    assert (await till.desk.account(account))["held"] is True


async def test_a_hold_that_somebody_has_ended_is_not_placed_again(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    await till.dispute(ref, "40.00", "needs_response")
    await till.desk.tell(ReleaseHold, account, kind=HoldKind.CHARGEBACK)
    for status in ("under_review", "lost", "needs_response"):
        assert await till.dispute(ref, "40.00", status) is P.DISPUTED
    assert await till.holds(account) == [("payments", False)]
    query = "SELECT status FROM chargeback WHERE payment_id = %s"
    assert await till.desk.query(query, ref.payment_id) == [{"status": "lost"}], "the last is older"
    assert await till.dispute(ref, "40.00", "won") is P.SUCCEEDED
    assert (await till.desk.account(account))["balance"] == 60


@pytest.mark.parametrize("end", ["warning_closed", "won"])
async def test_an_inquiry_holds_the_account_and_moves_no_money(till: Till, end: str) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    await till.desk.query("UPDATE account SET admitted_at = now() WHERE id = %s", account)
    ref = await till.paid(account, "40.00")
    for status in ("warning_needs_response", "warning_under_review"):
        assert await till.dispute(ref, "40.00", status) is P.SUCCEEDED
    assert await till.holds(account) == [("payments", True)]
    assert (await till.desk.account(account))["balance"] == 60
    words = [event["description"] for event in await till.desk.timeline(account)]
    assert "Inquiry about 40.00 USD (fraudulent): warning needs response" in words
    if end == "won":
        assert await till.dispute(ref, "40.00", "needs_response") is P.DISPUTED
        assert (await till.desk.account(account))["balance"] == 100
        assert await till.dispute(ref, "40.00", "warning_needs_response") is P.DISPUTED, "that is older"
        noted = await till.desk.query("SELECT signal FROM lifecycle_notice WHERE account_id = %s", account)
        assert noted == [{"signal": "payment_reversed"}], "though its hold was placed after"
    assert await till.dispute(ref, "40.00", end) is P.SUCCEEDED
    assert await till.holds(account) == [("payments", False)]
    assert (await till.desk.account(account))["balance"] == 60
    await sound(till)


async def test_a_dispute_that_is_prevented_takes_nothing_and_is_over(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    assert await till.dispute(ref, "40.00", "prevented") is P.SUCCEEDED
    assert await till.dispute(ref, "40.00", "needs_response") is P.SUCCEEDED, "that is older"
    assert await till.holds(account) == []
    assert (await till.desk.account(account))["balance"] == 60
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert await tx.payment_reconciliations.unfinished(None, 10) == []
    await sound(till)


async def test_a_change_that_is_noted_after_money_does_not_hide_it(till: Till) -> None:
    account = await till.desk.place(status="negotiating")
    noted = "SELECT signal FROM lifecycle_notice WHERE account_id = %s"
    steps: tuple[tuple[NoticeSignal, NoticeSignal], ...] = (
        ("account_changed", "account_changed"),
        ("payment_posted", "payment_posted"),
        ("payment_reversed", "payment_reversed"),
        ("account_changed", "payment_reversed"),
        ("payment_posted", "payment_posted"),
    )
    for signal, told in steps:
        async with till.desk.db.transaction(till.desk.tenant) as tx:
            await tx.lifecycles.notify([account], signal)
        assert await till.desk.query(noted, account) == [{"signal": told}]


async def test_money_has_come_when_its_transaction_says_as_offers_and_promises_do(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "40.00")
    for status in ("succeeded", "failed"):
        await till.refund(ref, "10.00", status)
    for status in ("needs_response", "won"):
        await till.dispute(ref, "40.00", status)
    rows = await till.desk.query(
        "SELECT kind, created_at - occurred_at AS off FROM journal"
        " WHERE agency_id = %s AND kind <> 'placement' ORDER BY id",
        till.desk.agency_id,
    )
    kinds = ("payment", "refund", "reinstatement", "chargeback", "reinstatement")
    assert [(row["kind"], row["off"]) for row in rows] == [(kind, timedelta()) for kind in kinds]


async def test_what_goes_back_in_a_transaction_that_began_before_the_settlement_is_forgiven(
    till: Till,
) -> None:
    account = await till.desk.place(amount="1000.00", status="negotiating")
    expires = (datetime.now(UTC) + timedelta(days=9)).date()
    offer = await till.desk.ask(OfferSettlement, account, amount=Decimal(600), expires_on=expires)
    await till.desk.tell(AcceptOffer, account, offer_id=offer["id"])
    ref = await till.ask(account, "650.00")
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert await till.intent(ref, "succeeded", "650.00") is P.SUCCEEDED
        assert (await till.desk.account(account))["status"] == "settled"
        change = PaymentChange(
            await AccountChange.begin(tx, account, SCORERS), await tx.payments.lock(ref.payment_id)
        )
        await change.pay_back(await tx.refunds.add(change.payment, Decimal(50), origin="provider"))
        await change.account.settle()
    row = await till.desk.account(account)
    assert (row["status"], row["balance"]) == ("settled", 0), "600.00 were asked for, and are here"
    await sound(till)


async def test_what_is_to_be_given_back_is_said_and_added_up(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "130.00")
    other = await till.desk.place(amount="100.00", status="negotiating")
    late = await till.ask(other, "60.00")
    await till.desk.tell(Recall, other, reason="sold")
    await till.intent(late, "succeeded", "60.00")
    for of, words, owed_back in (
        (account, "30.00 USD more than was owed is to be given back", (Decimal(30), Decimal(0))),
        (
            other,
            "60.00 USD that came after the account was closed is to be given back",
            (Decimal(0), Decimal(60)),
        ),
    ):
        assert ("payment", words) in [(e["kind"], e["description"]) for e in await till.desk.timeline(of)]
        async with till.desk.db.transaction(till.desk.tenant) as tx:
            assert tuple(await tx.ledger.owed_back(of)) == owed_back
    await till.refund(ref, "25.00", "succeeded")
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert tuple(await tx.ledger.owed_back(account)) == (Decimal(5), Decimal(0))
