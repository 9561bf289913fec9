"""What Stripe says of payments ends on the ledger once, in whatever order and however often it is said."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.account_messages import AcceptOffer, OfferSettlement, PlaceHold, Recall
from activities.payment_books import PaymentBooks
from activities.payment_messages import (
    DisputeFacts,
    IntentFacts,
    PaymentFailure,
    PaymentRef,
    RefundFacts,
    RefundRef,
)
from activities.payment_postings import CurrencyDiffers
from domain.errors import Conflict, NotFound
from domain.holds import HoldKind
from domain.payments import PaymentStatus
from tests.integration.accounts.desk import SCORERS, Desk

P = PaymentStatus


@dataclass
class Till:
    """Payments at one desk, and what is said of them."""

    desk: Desk
    told: list[UUID] = field(default_factory=list)

    @property
    def books(self) -> PaymentBooks:
        def tell(agency_id: UUID, accounts: Sequence[UUID]) -> None:
            assert agency_id == self.desk.agency_id
            self.told.extend(accounts)

        return PaymentBooks(self.desk.db, SCORERS, tell)

    async def ask(self, account: UUID, amount: str, method: str = "card", **more: Any) -> PaymentRef:
        """Somebody wants to pay."""
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            payment = await tx.payments.add(
                account,
                origin="request",
                key=uuid4().hex,
                amount=Decimal(amount),
                currency="USD",
                method=method,
                **more,
            )
            return PaymentRef(agency_id=self.desk.agency_id, payment_id=payment.id)

    async def intent(self, ref: PaymentRef, status: str, received: str = "0", **more: Any) -> PaymentStatus:
        facts = {"currency": "USD", "created": datetime.now(UTC), **more}
        said = IntentFacts(
            intent_ref=f"pi_{ref.payment_id.hex}", status=status, amount_received=Decimal(received), **facts
        )
        return (await self.books.record_intent(ref, said)).status

    async def paid(self, account: UUID, amount: str) -> PaymentRef:
        ref = await self.ask(account, amount)
        assert await self.intent(ref, "succeeded", amount) is P.SUCCEEDED
        return ref

    async def refund(
        self, ref: PaymentRef, amount: str, status: str, name: str = "re_1", **more: Any
    ) -> PaymentStatus:
        said = RefundFacts(
            refund_ref=f"{name}_{ref.payment_id.hex}",
            status=status,
            amount=Decimal(amount),
            currency="USD",
            created=datetime.now(UTC),
            **more,
        )
        return (await self.books.record_refund(ref, said)).status

    async def dispute(self, ref: PaymentRef, amount: str, status: str, name: str = "dp") -> PaymentStatus:
        said = DisputeFacts(
            dispute_ref=f"{name}_{ref.payment_id.hex}",
            status=status,
            reason="fraudulent",
            amount=Decimal(amount),
            currency="USD",
            created=datetime.now(UTC),
            inquiry=status.startswith("warning"),
        )
        return (await self.books.record_dispute(ref, said)).status

    async def payment(self, ref: PaymentRef) -> dict[str, Any]:
        [row] = await self.desk.query("SELECT * FROM payment WHERE id = %s", ref.payment_id)
        return row

    async def holds(self, account: UUID) -> list[tuple[str, bool]]:
        """Holds of the account: by whom, and whether in force."""
        rows = await self.desk.query("SELECT * FROM hold WHERE account_id = %s ORDER BY id", account)
        return [(row["placed_by"], row["released_at"] is None) for row in rows]

    async def house(self, account: UUID) -> dict[str, Decimal]:
        """What the account's postings come to on each side of the house; credits count."""
        rows = await self.desk.query(
            "SELECT side, sum(amount) AS amount FROM ("
            " SELECT credit AS side, amount FROM posting WHERE account_id = %(id)s"
            " UNION ALL SELECT debit, -amount FROM posting WHERE account_id = %(id)s) sides"
            " GROUP BY side HAVING sum(amount) <> 0".replace("%(id)s", "%s"),
            account,
            account,
        )
        return {row["side"]: row["amount"] for row in rows}


@pytest.fixture
def till(desk: Desk) -> Till:
    return Till(desk)


async def sound(till: Till) -> None:
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []


async def test_success_is_posted_once_however_often_and_whatever_is_said_after_it(till: Till) -> None:
    account = await till.desk.place(amount="1000.00", status="negotiating")
    ref = await till.ask(account, "250.00")
    assert await till.intent(ref, "requires_payment_method") is P.PENDING, "it was never confirmed"
    assert await till.intent(ref, "processing", charge_ref="ch_1") is P.PROCESSING

    said = await asyncio.gather(*(till.intent(ref, "succeeded", "250.00") for _ in range(5)))
    assert set(said) == {P.SUCCEEDED}
    for late in ("processing", "requires_payment_method", "canceled"):
        assert await till.intent(ref, late, charge_ref="ch_1", failure_code="late") is P.SUCCEEDED

    assert (await till.desk.account(account))["balance"] == 750
    assert len(await till.desk.query("SELECT id FROM journal WHERE key = %s", str(ref.payment_id))) == 1
    events = [event["new"] for event in await till.desk.timeline(account) if event["kind"] == "payment"]
    assert events == ["processing", "succeeded"]
    assert (await till.payment(ref))["failure_code"] is None
    assert till.told == [], "nobody works it"
    await sound(till)


async def test_the_lifecycle_of_a_worked_account_is_told_of_money_that_comes_and_goes(till: Till) -> None:
    account = await till.desk.place(status="negotiating")
    await till.desk.query("UPDATE account SET admitted_at = now() WHERE id = %s", account)
    noted = "SELECT signal FROM lifecycle_notice WHERE account_id = %s"

    ref = await till.paid(account, "10.00")
    assert await till.desk.query(noted, account) == [{"signal": "payment_posted"}]
    await till.refund(ref, "10.00", "succeeded")
    assert await till.desk.query(noted, account) == [{"signal": "payment_reversed"}]
    assert till.told == [account, account]


async def test_a_decline_is_final_until_stripe_says_that_money_came(till: Till) -> None:
    account = await till.desk.place(status="negotiating")
    ref = await till.ask(account, "10.00")
    declined = {"charge_ref": "ch_1", "failure_code": "insufficient_funds", "failure_message": "No funds"}
    assert await till.intent(ref, "requires_payment_method", **declined) is P.FAILED
    assert await till.intent(ref, "requires_payment_method", **declined) is P.FAILED
    assert await till.intent(ref, "processing", charge_ref="ch_1") is P.FAILED, "that is older"
    row = await till.payment(ref)
    assert (row["failure_code"], row["journal_id"]) == ("insufficient_funds", None)
    failed = [event for event in await till.desk.timeline(account) if event["new"] == "failed"]
    assert len(failed) == 1
    assert "insufficient funds" in failed[0]["description"]
    assert await till.intent(ref, "succeeded", "10.00") is P.SUCCEEDED


async def test_what_is_more_than_the_debt_is_owed_back_and_goes_back_first(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "130.00")
    assert await till.house(account) == {"cash": -130, "credit_balances": 30, "placements": 100}
    closed = await till.desk.account(account)
    assert (closed["status"], closed["closed_reason"], closed["balance"]) == ("closed", "paid", 0)

    assert await till.refund(ref, "30.00", "succeeded") is P.PARTIALLY_REFUNDED
    assert await till.house(account) == {"cash": -100, "placements": 100}
    assert (await till.desk.account(account))["status"] == "closed", "the debt itself is paid"
    assert await till.refund(ref, "100.00", "succeeded", "re_2") is P.REFUNDED
    assert (await till.payment(ref))["refunded_amount"] == 130
    again = await till.desk.account(account)
    assert (again["status"], again["balance"], again["closed_reason"]) == ("in_contact", 100, None)
    await sound(till)


async def test_money_for_an_account_that_was_recalled_is_kept_unapplied(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.ask(account, "60.00")
    await till.desk.tell(Recall, account, reason="sold")
    assert await till.intent(ref, "succeeded", "60.00") is P.SUCCEEDED
    assert await till.house(account) == {"cash": -60, "unapplied": 60, "placements": 100, "receivable": -100}
    row = await till.desk.account(account)
    assert (row["status"], row["balance"]) == ("closed", 100)
    assert await till.refund(ref, "60.00", "succeeded") is P.REFUNDED
    assert (await till.desk.account(account))["status"] == "closed", "what was recalled stays so"
    await sound(till)


async def test_a_refund_that_fails_in_the_end_is_posted_again(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "100.00")
    assert await till.refund(ref, "40.00", "pending") is P.SUCCEEDED
    assert await till.refund(ref, "40.00", "succeeded") is P.PARTIALLY_REFUNDED
    assert (await till.desk.account(account))["status"] == "in_contact"
    for _ in range(2):
        assert await till.refund(ref, "40.00", "failed") is P.SUCCEEDED
    assert await till.refund(ref, "40.00", "succeeded") is P.SUCCEEDED, "that was said before"
    row = await till.desk.account(account)
    assert (row["status"], row["closed_reason"], row["balance"]) == ("closed", "paid", 0)
    assert (await till.payment(ref))["refunded_amount"] == 0
    await sound(till)


async def test_a_refund_of_what_is_not_on_the_ledger_yet_waits(till: Till) -> None:
    account = await till.desk.place(status="negotiating")
    ref = await till.ask(account, "10.00")
    with pytest.raises(Conflict, match="took no money"):
        await till.refund(ref, "10.00", "succeeded")
    assert await till.desk.query("SELECT id FROM refund WHERE payment_id = %s", ref.payment_id) == []


async def test_a_chargeback_takes_the_money_and_holds_the_account_until_it_is_won(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    ref = await till.paid(account, "100.00")
    assert await till.dispute(ref, "100.00", "warning_needs_response") is P.SUCCEEDED, "the bank only asks"
    for status in ("needs_response", "needs_response", "under_review"):
        assert await till.dispute(ref, "100.00", status) is P.DISPUTED
    row = await till.desk.account(account)
    assert (row["status"], row["balance"], row["held"], row["queued"]) == ("in_contact", 100, True, False)

    assert await till.dispute(ref, "100.00", "won") is P.SUCCEEDED
    assert await till.dispute(ref, "100.00", "needs_response") is P.SUCCEEDED, "older than its end"
    [chargeback] = await till.desk.query(
        "SELECT status FROM chargeback WHERE payment_id = %s", ref.payment_id
    )
    assert chargeback["status"] == "won"
    row = await till.desk.account(account)
    assert (row["status"], row["balance"], row["held"]) == ("closed", 0, False)
    kinds = [
        j["kind"]
        for j in await till.desk.query(
            "SELECT kind FROM journal WHERE agency_id = %s ORDER BY id", till.desk.agency_id
        )
    ]
    assert kinds == ["placement", "payment", "chargeback", "reinstatement"]
    await sound(till)


async def test_a_chargeback_that_is_lost_leaves_the_hold_to_people(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    await till.desk.tell(PlaceHold, account, kind=HoldKind.CHARGEBACK, reason="the bank called")
    ref = await till.paid(account, "50.00")
    await till.dispute(ref, "50.00", "needs_response")
    assert await till.dispute(ref, "50.00", "lost") is P.DISPUTED
    row = await till.desk.account(account)
    assert (row["balance"], row["held"]) == (100, True)
    holds = await till.desk.query("SELECT released_at FROM hold WHERE account_id = %s", account)
    assert [hold["released_at"] for hold in holds] == [None], "the one that was there is enough"


async def test_a_settlement_that_is_paid_forgives_the_rest_until_money_goes_back(till: Till) -> None:
    account = await till.desk.place(amount="1000.00", status="negotiating")
    expires = (datetime.now(UTC) + timedelta(days=9)).date()
    offer = await till.desk.ask(OfferSettlement, account, amount=Decimal(600), expires_on=expires)
    before = await till.paid(account, "100.00")
    await till.desk.tell(AcceptOffer, account, offer_id=offer["id"])
    first = await till.paid(account, "350.00")
    assert (await till.desk.account(account))["balance"] == 550
    await till.paid(account, "250.00")
    row = await till.desk.account(account)
    assert (row["status"], row["balance"]) == ("settled", 0)
    assert (await till.house(account))["write_off"] == -300

    await till.refund(before, "100.00", "succeeded")
    row = await till.desk.account(account)
    assert (row["status"], row["balance"]) == ("in_contact", 100), "paid before it was accepted"
    await till.refund(first, "1.00", "succeeded")
    row = await till.desk.account(account)
    assert (row["status"], row["balance"]) == ("in_contact", 401), "owed again, with what was forgiven"
    [standing] = await till.desk.query("SELECT status FROM settlement_offer WHERE account_id = %s", account)
    assert standing["status"] == "cancelled"
    await sound(till)


async def test_checks_are_posted_as_of_the_day_they_came_and_paid_back_by_hand(till: Till) -> None:
    account = await till.desk.place(amount="100.00", status="negotiating")
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    ref = await till.ask(account, "70.00", "check", received_on=day, reference="4711")
    for _ in range(2):
        assert (await till.books.record_received(ref)).status is P.SUCCEEDED
    [journal] = await till.desk.query(
        "SELECT occurred_at FROM journal WHERE kind = 'payment' AND agency_id = %s", till.desk.agency_id
    )
    assert journal["occurred_at"].date() == day
    async with till.desk.db.transaction(till.desk.tenant) as tx:
        refund = await tx.refunds.add(await tx.payments.lock(ref.payment_id), Decimal(20), origin="request")
    back = RefundRef(agency_id=ref.agency_id, payment_id=ref.payment_id, refund_id=refund.id)
    for _ in range(2):
        assert (await till.books.record_paid_back(back)).status is P.PARTIALLY_REFUNDED
    assert (await till.desk.account(account))["balance"] == 50
    await sound(till)


async def test_what_is_not_as_it_was_asked_for_is_not_posted_by_guess(till: Till) -> None:
    account = await till.desk.place(status="negotiating")
    ref = await till.ask(account, "10.00")
    with pytest.raises(CurrencyDiffers, match="EUR"):
        await till.intent(ref, "succeeded", "10.00", currency="EUR")
    assert (await till.payment(ref))["status"] == "pending"
    with pytest.raises(NotFound):
        await till.intent(PaymentRef(agency_id=ref.agency_id, payment_id=uuid4()), "succeeded", "1.00")
    refused = PaymentFailure(**ref.model_dump(), code="resource_missing", message="no such method")
    for _ in range(2):
        assert (await till.books.record_failure(refused)).status is P.FAILED
    assert (await till.desk.account(account))["balance"] == 1000
