"""Refunds over REST: in parts, never more than was paid, looked up where nobody knows, posted once."""

import asyncio
from decimal import Decimal
from uuid import uuid4

import pytest

from tests.integration.payments.till import Json, Till

PROBLEM = "urn:recoup:problem:"
REFUNDS = "/v1/refunds"


async def refunds_at_stripe(till: Till, payment: Json) -> list[Json]:
    found = await till.caller.get("refunds", payment_intent=payment["processor_ref"])
    return list(found["data"])


async def test_all_of_a_payment_goes_back_and_the_account_is_worked_again(till: Till) -> None:
    account = await till.debt("80.00")
    payment = await till.paid(account, "80.00")
    assert await till.status(account) == "closed"
    answer = await till.refund(payment, reason="paid twice elsewhere")
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["status"], shown["refunded_amount"]) == ("refunded", "80.00")
    [refund] = shown["refunds"]
    assert (refund["status"], refund["amount"], refund["reason"]) == (
        "succeeded",
        "80.00",
        "paid twice elsewhere",
    )
    assert (await till.balance(account), await till.status(account)) == ("80.00", "in_contact")
    assert await till.journals(account) == [("payment", Decimal("80.00")), ("refund", Decimal("80.00"))]


async def test_parts_go_back_until_nothing_is_left(till: Till) -> None:
    account = await till.debt()
    payment = await till.paid(account, "50.00")
    first = await till.refund(payment, amount="20.00")
    assert (first.json()["status"], first.json()["refunded_amount"]) == ("partially_refunded", "20.00")
    more = await till.refund(payment, amount="30.01")
    assert (more.status_code, more.json()["left"]) == (409, "30.00")
    rest = await till.refund(payment)
    assert (rest.json()["status"], rest.json()["refunded_amount"]) == ("refunded", "50.00")
    nothing = await till.refund(payment)
    assert (nothing.status_code, nothing.json()["left"]) == (409, "0.00")
    assert [one["amount"] for one in await refunds_at_stripe(till, payment)] == [3000, 2000]
    assert await till.balance(account) == "100.00"


async def test_two_refunds_at_once_of_more_than_was_paid(till: Till) -> None:
    payment = await till.paid(await till.debt(), "100.00")
    answers = await asyncio.gather(*(till.refund(payment, amount="60.00") for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) in ([201, 409], [202, 409])
    [refused] = [answer.json() for answer in answers if answer.status_code == 409]
    assert refused["left"] == "40.00"
    await till.ends(payment, "partially_refunded")
    assert [one["amount"] for one in await refunds_at_stripe(till, payment)] == [6000]


async def test_a_key_refunds_once(till: Till) -> None:
    payment, key = await till.paid(await till.debt(), "100.00"), uuid4().hex
    answers = await asyncio.gather(*(till.refund(payment, amount="10.00", key=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 202}
    await till.ends(payment, "partially_refunded")
    assert len(await refunds_at_stripe(till, payment)) == 1
    alike = await till.refund(payment, amount="10", reason=None, key=key)
    assert alike.status_code in {201, 202}, "the same, written otherwise"
    other = await till.refund(payment, amount="11.00", key=key)
    assert (other.status_code, other.json()["type"]) == (422, f"{PROBLEM}idempotency-key-reused")


@pytest.mark.parametrize(
    "kind",
    ["timeout_before", "timeout_after", "error_before", "error_after", "unavailable", "reset_after"],
)
async def test_a_refund_whose_answer_is_lost_or_wrong_is_made_once(till: Till, kind: str) -> None:
    account = await till.debt()
    payment = await till.paid(account, "50.00")
    fault = till.breaks(kind, REFUNDS)
    answer = await till.refund(payment, amount="20.00")
    assert answer.status_code in {201, 202}, answer.text
    ended = await till.ends(payment, "partially_refunded")
    assert fault.hits == 1
    assert ended["refunded_amount"] == "20.00"
    assert [one["amount"] for one in await refunds_at_stripe(till, payment)] == [2000]
    assert (await till.journals(account))[1:] == [("refund", Decimal("20.00"))]


@pytest.mark.parametrize(
    ("succeeds", "status", "balance"), [(True, "partially_refunded", "80.00"), (False, "succeeded", "60.00")]
)
async def test_a_refund_that_takes_time_is_followed_to_its_end(
    till: Till, succeeds: bool, status: str, balance: str
) -> None:
    account = await till.debt()
    payment = await till.paid(account, "40.00", payment_method="pm_card_pendingRefund")
    answer = await till.refund(payment, amount="20.00")
    assert answer.status_code == 202, answer.text
    [refund] = answer.json()["refunds"]
    assert (refund["status"], await till.balance(account)) == ("pending", "60.00")
    too_much = await till.refund(payment, amount="20.01")
    assert (too_much.status_code, too_much.json()["left"]) == (409, "20.00")
    await till.caller.control(f"refunds/{refund['processor_ref']}/finish", succeeds=succeeds)
    process = till.refund_process(refund)
    await process.signal("provider_spoke")
    await process.result()
    ended = await till.get(payment)
    assert (ended["status"], await till.balance(account)) == (status, balance)
    assert ended["refunds"][0]["status"] == ("succeeded" if succeeds else "failed")


async def test_a_refund_that_stripe_refuses_goes_nowhere(till: Till) -> None:
    account = await till.debt()
    payment = await till.paid(account, "40.00")
    await till.account.refund(payment["processor_ref"], Decimal("30.00"), "USD", key=uuid4().hex)
    answer = await till.refund(payment, amount="20.00", key=(key := uuid4().hex))
    assert (answer.status_code, answer.json()["type"]) == (409, f"{PROBLEM}refund-failed")
    assert answer.json()["failure_code"]
    again = await till.refund(payment, amount="20.00", key=key)
    assert (again.status_code, again.json()["refund_id"]) == (409, answer.json()["refund_id"])
    assert (await till.get(payment))["refunds"][0]["status"] == "failed"
    assert await till.balance(account) == "60.00"


async def test_cash_is_paid_back_by_hand(till: Till) -> None:
    account = await till.debt()
    payment = await till.paid(account, "30.00", method="cash", payment_method=None)
    answer = await till.refund(payment, amount="10.00")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["status"], await till.balance(account)) == ("partially_refunded", "80.00")


async def test_only_what_came_in_goes_back(till: Till) -> None:
    account = await till.debt()
    declined = (await till.pay(account, payment_method="pm_card_chargeDeclinedExpiredCard")).json()
    waiting = (await till.pay(account, payment_method="pm_card_authenticationRequired")).json()
    for payment in (declined, waiting):
        answer = await till.refund(payment)
        assert (answer.status_code, answer.json()["status_now"]) == (409, payment["status"])
    unknown = await till.refund({"id": str(uuid4())})
    assert unknown.status_code == 404
    for amount in ("0.00", "-1.00", "1.005"):
        bad = await till.refund(declined, amount=amount)
        assert (bad.status_code, bad.json()["field"]) == (422, "amount")
    assert (await till.refund(declined, who="acme.collector")).status_code == 403
