"""Every outcome of a payment, through the real library: what is taken, what is refused, how it is told."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.errors import Invalid
from gateways.stripe import (
    IntentState,
    IntentStatus,
    Mandate,
    PaymentDeclined,
    RefundState,
    StripeAccount,
    StripeAuthenticationFailed,
    StripeGateway,
    StripeKeyReused,
    StripeMisused,
    StripeObjectMissing,
    StripeOutage,
    StripeOutcomeUnknown,
    StripeWrongState,
)
from sandbox.ports import free_port
from sandbox.stripe.outcomes import READY_MADE
from sandbox.stripe.server import StripeServer

AGREED = Mandate(datetime(2026, 3, 1, 12, tzinfo=UTC))
CARD_ANSWERS = {
    "pm_card_visa": "succeeded",
    "pm_card_visa_debit": "succeeded",
    "pm_card_mastercard": "succeeded",
    "pm_card_amex": "succeeded",
    "pm_card_discover": "succeeded",
    "pm_card_createDispute": "succeeded",
    "pm_card_createDisputeProductNotReceived": "succeeded",
    "pm_card_createDisputeInquiry": "succeeded",
    "pm_card_pendingRefund": "succeeded",
    "pm_card_refundFail": "succeeded",
    "pm_card_visa_chargeDeclined": "card_declined/generic_decline",
    "pm_card_chargeDeclined": "card_declined/generic_decline",
    "pm_card_chargeCustomerFail": "card_declined/generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "card_declined/insufficient_funds",
    "pm_card_chargeDeclinedInsufficientFunds": "card_declined/insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "card_declined/lost_card",
    "pm_card_visa_chargeDeclinedStolenCard": "card_declined/stolen_card",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "card_declined/card_velocity_exceeded",
    "pm_card_chargeDeclinedExpiredCard": "expired_card/expired_card",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc/incorrect_cvc",
    "pm_card_chargeDeclinedProcessingError": "processing_error/processing_error",
    "pm_card_radarBlock": "card_declined/fraudulent",
    "pm_card_authenticationRequired": "requires_action",
    "pm_card_authenticationRequiredOnSetup": "requires_action",
    "pm_card_threeDSecure2Required": "requires_action",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "requires_action",
}
BANK_ANSWERS = {
    "pm_usBankAccount_success": "succeeded",
    "pm_usBankAccount_dispute": "succeeded",
    "pm_usBankAccount_processing": "processing",
    "pm_usBankAccount_accountClosed": "account_closed",
    "pm_usBankAccount_noAccount": "no_account",
    "pm_usBankAccount_insufficientFunds": "insufficient_funds",
    "pm_usBankAccount_debitNotAuthorized": "debit_not_authorized",
    "pm_usBankAccount_invalidCurrency": "invalid_currency",
    "pm_usBankAccount_weeklyLimitExceeded": "charge_exceeds_weekly_limit",
}


async def intent(
    account: StripeAccount, amount: str = "100.00", kind: Any = "card", **more: Any
) -> IntentState:
    key = more.pop("key", uuid4().hex)
    return await account.create_intent(Decimal(amount), "USD", key=key, kinds=[kind], **more)


async def paid(account: StripeAccount, amount: str = "100.00", method: str = "pm_card_visa") -> IntentState:
    made = await intent(account, amount)
    return await account.confirm(made.id, key=f"confirm-{made.id}", payment_method_id=method)


async def refunded(account: StripeAccount, made: IntentState, amount: str, key: str) -> RefundState:
    return await account.refund(made.id, Decimal(amount), "usd", key=key)


async def test_an_intent_takes_no_money_before_it_is_confirmed(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account, "12.34", metadata={"payment": "p-1"})

    assert made.status is IntentStatus.REQUIRES_PAYMENT_METHOD
    assert (made.amount, made.amount_received, made.currency) == (Decimal("12.34"), Decimal(0), "usd")
    assert made.metadata == {"payment": "p-1"}
    assert made.charge_id is None
    assert await stripe_account.retrieve(made.id) == made


def test_the_tables_name_every_test_method() -> None:
    assert set(CARD_ANSWERS) | set(BANK_ANSWERS) == set(READY_MADE)


@pytest.mark.parametrize("method", CARD_ANSWERS)
async def test_each_card_answers_as_published(stripe_account: StripeAccount, method: str) -> None:
    made = await intent(stripe_account)
    try:
        answered = await stripe_account.confirm(made.id, key=f"c-{made.id}", payment_method_id=method)
        answer = answered.status.value
    except PaymentDeclined as declined:
        answered = declined.intent or made
        answer = f"{declined.failure.code}/{declined.failure.decline_code}"

    assert answer == CARD_ANSWERS[method]
    assert await stripe_account.retrieve(made.id) == answered
    taken = Decimal("100.00") if answer == "succeeded" else Decimal(0)
    assert answered.amount_received == taken
    assert (answered.charge_id is None) == (answer == "requires_action")
    if "/" in answer:
        assert answered.status is IntentStatus.REQUIRES_PAYMENT_METHOD
        assert answered.failure is not None
        assert f"{answered.failure.code}/{answered.failure.decline_code}" == answer


@pytest.mark.parametrize("method", BANK_ANSWERS)
async def test_each_bank_account_answers_later(
    stripe_server: StripeServer, stripe_account: StripeAccount, method: str
) -> None:
    made = await intent(stripe_account, kind="us_bank_account")
    began = await stripe_account.confirm(
        made.id, key=f"c-{made.id}", payment_method_id=method, mandate=AGREED
    )
    assert began.status is IntentStatus.PROCESSING
    stripe_server.engine.advance(stripe_server.behaviour.bank_delay_s - 5)
    assert (await stripe_account.retrieve(made.id)).status is IntentStatus.PROCESSING

    stripe_server.engine.advance(6)

    ended = await stripe_account.retrieve(made.id)
    assert (ended.failure.code if ended.failure else ended.status.value) == BANK_ANSWERS[method]
    assert ended.amount_received == (Decimal(100) if ended.status is IntentStatus.SUCCEEDED else 0)


async def test_a_debit_without_a_mandate_is_refused(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account, kind="us_bank_account")
    with pytest.raises(StripeMisused) as refused:
        await stripe_account.confirm(made.id, key="c", payment_method_id="pm_usBankAccount_success")
    assert refused.value.field == "mandate_data"


async def test_a_debit_under_way_can_be_cancelled(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account, kind="us_bank_account")
    await stripe_account.confirm(
        made.id, key="c", payment_method_id="pm_usBankAccount_processing", mandate=AGREED
    )

    cancelled = await stripe_account.cancel(made.id, key="x")

    assert cancelled.status is IntentStatus.CANCELED
    assert cancelled.final


async def test_another_card_may_follow_a_decline(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account)
    with pytest.raises(PaymentDeclined):
        await stripe_account.confirm(made.id, key="c1", payment_method_id="pm_card_visa_chargeDeclined")

    answered = await stripe_account.confirm(made.id, key="c2", payment_method_id="pm_card_visa")

    assert answered.status is IntentStatus.SUCCEEDED
    assert answered.failure is None


async def test_a_saved_card_is_charged_while_the_debtor_is_away(stripe_account: StripeAccount) -> None:
    customer = await stripe_account.create_customer(key="customer", metadata={"debtor": "d-1"})
    saved = await stripe_account.attach("pm_card_authenticationRequiredOnSetup", customer, key="attach")
    assert (saved.customer_id, saved.kind, saved.last4) == (customer, "card", "3155")

    for number in range(2):
        made = await intent(stripe_account, customer_id=customer, key=f"i{number}")
        answered = await stripe_account.confirm(
            made.id, key=f"c{number}", payment_method_id=saved.id, off_session=True
        )
        assert answered.status is IntentStatus.SUCCEEDED
    assert await stripe_account.payment_method(saved.id) == saved


async def test_a_holder_who_is_away_cannot_authenticate(stripe_account: StripeAccount) -> None:
    customer = await stripe_account.create_customer(key="customer")
    saved = await stripe_account.attach("pm_card_authenticationRequired", customer, key="attach")
    made = await intent(stripe_account, customer_id=customer)

    with pytest.raises(PaymentDeclined) as declined:
        await stripe_account.confirm(made.id, key="c", payment_method_id=saved.id, off_session=True)

    assert declined.value.failure.code == "authentication_required"
    assert declined.value.intent is not None
    assert declined.value.intent.status is IntentStatus.REQUIRES_PAYMENT_METHOD


async def test_a_card_that_was_not_saved_is_used_once(stripe_account: StripeAccount) -> None:
    first = await paid(stripe_account)
    assert first.payment_method_id is not None
    second = await intent(stripe_account)

    with pytest.raises(StripeMisused, match="may not be used again"):
        await stripe_account.confirm(second.id, key="c", payment_method_id=first.payment_method_id)
    customer = await stripe_account.create_customer(key="customer")
    with pytest.raises(StripeMisused, match="may not be used again"):
        await stripe_account.attach(first.payment_method_id, customer, key="attach")


async def test_a_card_that_was_not_saved_is_not_charged_off_session(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account)
    with pytest.raises(StripeMisused, match="off session"):
        await stripe_account.confirm(made.id, key="c", payment_method_id="pm_card_visa", off_session=True)
    assert (await stripe_account.retrieve(made.id)).charge_id is None


async def test_another_customers_card_is_refused(stripe_account: StripeAccount) -> None:
    one, other = [await stripe_account.create_customer(key=key) for key in ("one", "other")]
    saved = await stripe_account.attach("pm_card_visa", one, key="attach")
    made = await intent(stripe_account, customer_id=other)

    with pytest.raises(StripeMisused, match="belongs to a customer"):
        await stripe_account.confirm(made.id, key="c", payment_method_id=saved.id)
    with pytest.raises(StripeWrongState, match="another customer"):
        await stripe_account.attach(saved.id, other, key="attach again")


async def test_a_detached_card_is_gone(stripe_account: StripeAccount) -> None:
    customer = await stripe_account.create_customer(key="customer")
    saved = await stripe_account.attach("pm_card_visa", customer, key="attach")
    assert (await stripe_account.detach(saved.id, key="detach")).customer_id is None
    with pytest.raises(StripeMisused, match="may not be used again"):
        await stripe_account.attach(saved.id, customer, key="attach again")


async def test_refunds_never_exceed_the_charge(stripe_account: StripeAccount) -> None:
    made = await paid(stripe_account, "100.00")
    answers = await asyncio.gather(
        refunded(stripe_account, made, "60.00", "r1"),
        refunded(stripe_account, made, "60.00", "r2"),
        return_exceptions=True,
    )

    (done,) = [answer for answer in answers if isinstance(answer, RefundState)]
    (refused,) = [answer for answer in answers if isinstance(answer, BaseException)]
    assert (done.amount, done.status, done.intent_id) == (Decimal("60.00"), "succeeded", made.id)
    assert isinstance(refused, StripeMisused)
    assert refused.field == "amount"
    rest = await refunded(stripe_account, made, "40.00", "r3")
    with pytest.raises(StripeWrongState) as nothing_left:
        await refunded(stripe_account, made, "0.50", "r4")
    assert nothing_left.value.code == "charge_already_refunded"
    assert await stripe_account.refunds_of(made.id) == [rest, done]
    assert await stripe_account.retrieve_refund(done.id) == done


async def test_many_refunds_at_once_give_back_no_more_than_was_paid(stripe_account: StripeAccount) -> None:
    made = await paid(stripe_account, "10.00")
    answers = await asyncio.gather(
        *(refunded(stripe_account, made, "3.00", f"r{number}") for number in range(12)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, RefundState) for answer in answers) == 3


async def test_what_was_not_taken_cannot_be_refunded(stripe_account: StripeAccount) -> None:
    made = await intent(stripe_account)
    with pytest.raises(StripeWrongState, match="no successful charge"):
        await refunded(stripe_account, made, "1.00", "r")


async def test_windows_are_read_to_their_end(
    stripe_server: StripeServer, stripe_account: StripeAccount
) -> None:
    stripe_server.engine.advance(2)
    before = datetime.fromtimestamp(int(stripe_server.engine.now), UTC)
    early = await paid(stripe_account)
    await refunded(stripe_account, early, "1.00", "r0")
    stripe_server.engine.advance(2)
    since = datetime.fromtimestamp(int(stripe_server.engine.now), UTC)
    made = [await paid(stripe_account, "5.00", "pm_card_createDispute") for _ in range(3)]
    back = await refunded(stripe_account, await paid(stripe_account), "1.00", "r1")
    until = datetime.fromtimestamp(int(stripe_server.engine.now) + 1, UTC)

    charges = [charge async for charge in stripe_account.charges(since, until)]
    assert [charge.intent_id for charge in charges][1:] == [state.id for state in reversed(made)]
    assert [charge.disputed for charge in charges] == [False, True, True, True]
    assert [refund async for refund in stripe_account.refunds(since, until)] == [back]
    disputes = [dispute async for dispute in stripe_account.disputes(since, until)]
    assert [dispute.intent_id for dispute in disputes] == [state.id for state in reversed(made)]
    assert [state.id async for state in stripe_account.intents(before, since)] == [early.id]


async def test_more_charges_than_a_page_holds_are_all_read(stripe_account: StripeAccount) -> None:
    few = asyncio.Semaphore(10)

    async def made_of(number: int) -> IntentState:
        async with few:
            return await paid(stripe_account, f"{number}.00")

    made = await asyncio.gather(*map(made_of, range(1, 131)))
    now = datetime.now(UTC)
    window = (now - timedelta(days=1), now + timedelta(days=30))
    charges = [charge async for charge in stripe_account.charges(*window)]
    assert {charge.intent_id for charge in charges} == {state.id for state in made}
    assert len(charges) == 130
    assert sum(charge.amount for charge in charges) == sum(range(131))


@pytest.mark.parametrize(
    ("amount", "currency", "field"),
    [("0.001", "usd", "amount"), ("10.00", "jpy", "currency"), ("10.00", "kwd", "currency")],
)
async def test_what_cents_cannot_say_is_refused_here(
    stripe_account: StripeAccount, amount: str, currency: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await stripe_account.create_intent(Decimal(amount), currency, key="k", kinds=["card"])
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("0.00", "usd", "parameter_invalid_integer"),
        ("-5.00", "usd", "parameter_invalid_integer"),
        ("0.49", "usd", "amount_too_small"),
        ("1000000.00", "usd", "amount_too_large"),
        ("5.00", "xyz", None),
    ],
)
async def test_what_stripe_does_not_take_names_the_parameter(
    stripe_account: StripeAccount, amount: str, currency: str, code: str | None
) -> None:
    with pytest.raises(StripeMisused) as refused:
        await stripe_account.create_intent(Decimal(amount), currency, key="k", kinds=["card"])
    assert refused.value.code == code
    assert refused.value.field == ("currency" if currency == "xyz" else "amount")
    assert not refused.value.retryable


async def test_a_confirmed_intent_is_in_another_state(stripe_account: StripeAccount) -> None:
    made = await paid(stripe_account)
    for again in (
        stripe_account.confirm(made.id, key="again", payment_method_id="pm_card_visa"),
        stripe_account.cancel(made.id, key="cancel"),
    ):
        with pytest.raises(StripeWrongState) as refused:
            await again
        assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize("key", ["", "sk_live_0123456789abcdef", "sk_test_expired00000", "nonsense"])
async def test_a_wrong_key_is_told_apart(stripe_gateway: StripeGateway, key: str) -> None:
    account = stripe_gateway.account(key or "sk")
    with pytest.raises(StripeAuthenticationFailed):
        await account.account_id()


async def test_agencies_have_worlds_of_their_own(stripe_gateway: StripeGateway, stripe_key: str) -> None:
    one, other = stripe_gateway.account(stripe_key), stripe_gateway.account(f"{stripe_key}other")
    made = await paid(one)
    customer = await one.create_customer(key="customer")

    assert await one.account_id() != await other.account_id()
    with pytest.raises(StripeObjectMissing):
        await other.retrieve(made.id)
    with pytest.raises(StripeObjectMissing):
        await refunded(other, made, "1.00", "r")
    with pytest.raises(StripeObjectMissing):
        await intent(other, customer_id=customer)
    window = (datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=30))
    assert [charge async for charge in other.charges(*window)] == []
    # The same key of idempotency is another agency's own.
    assert (await intent(one, key="same")).id != (await intent(other, "7.00", key="same")).id


async def test_a_key_used_for_something_else_is_ours_to_mend(stripe_account: StripeAccount) -> None:
    first = await intent(stripe_account, "5.00", key="k")
    assert (await intent(stripe_account, "5.00", key="k")).id == first.id
    with pytest.raises(StripeKeyReused):
        await intent(stripe_account, "6.00", key="k")
    with pytest.raises(StripeKeyReused):
        await stripe_account.create_customer(key="k")


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    gateway = StripeGateway(base_url=f"http://127.0.0.1:{free_port()}", timeout_s=30)
    with pytest.raises(StripeOutage) as outage:
        await intent(gateway.account("sk_test_00000000"))
    assert outage.value.retryable
    assert not outage.value.indeterminate
    await gateway.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param("200 OK", b"<html>back soon</html>", id="page"),
        pytest.param("200 OK", b'{"id": "pi_1", "object": "paym', id="half"),
        pytest.param("403 Forbidden", b"<html>blocked</html>", id="proxy"),
        pytest.param("404 Not Found", b'{"message": "no route"}', id="gateway"),
    ],
)
async def test_what_is_no_answer_of_stripes_says_nothing_of_the_money(status: str, body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        said = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(said.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        gateway = StripeGateway(base_url=f"http://127.0.0.1:{port}", timeout_s=60)
        account = gateway.account("sk_test_somebody")
        with pytest.raises(StripeOutcomeUnknown, match="may have been done"):
            await account.confirm("pi_1", key="k")
        with pytest.raises(StripeOutage, match="no answer of Stripe's"):
            await account.retrieve("pi_1")
        await gateway.close()


async def test_a_payment_page_is_paid(stripe_server: StripeServer, stripe_account: StripeAccount) -> None:
    link = await stripe_account.create_checkout(
        Decimal("75.25"),
        "USD",
        key="page",
        title="Account MY-1",
        success_url="http://example.test/thanks",
        reference="account-1",
        metadata={"payment": "p-9"},
    )
    assert (link.status, link.payment_status, link.reference) == ("open", "unpaid", "account-1")
    assert link.url is not None
    assert link.url.startswith(stripe_server.url)

    async with httpx.AsyncClient() as browser:
        assert "75.25" in (await browser.get(link.url)).text
        declined = await browser.post(link.url, data={"payment_method": "pm_card_visa_chargeDeclined"})
        assert "declined" in declined.text
        answer = await browser.post(link.url, data={"payment_method": "pm_card_visa"})
    assert answer.headers["location"] == "http://example.test/thanks"
    done = await stripe_account.retrieve_checkout(link.id)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.intent_id is not None
    state = await stripe_account.retrieve(done.intent_id)
    assert (state.status, state.amount_received) == (IntentStatus.SUCCEEDED, Decimal("75.25"))
    assert state.metadata == {"payment": "p-9"}
    with pytest.raises(StripeWrongState):
        await stripe_account.expire_checkout(link.id, key="expire")


async def test_a_payment_page_ends(stripe_server: StripeServer, stripe_account: StripeAccount) -> None:
    page = {"title": "Account", "success_url": "http://example.test/"}
    closed, old = [
        await stripe_account.create_checkout(Decimal(5), "usd", key=key, **page) for key in ("one", "two")
    ]
    assert (await stripe_account.expire_checkout(closed.id, key="expire")).status == "expired"
    assert (await stripe_account.retrieve_checkout(old.id)).status == "open"
    stripe_server.engine.advance(24 * 3600)
    assert (await stripe_account.retrieve_checkout(old.id)).status == "expired"
