"""What happens after a payment: refunds that take time or fail, disputes, holders who are asked."""

from typing import Any

import pytest

from tests.integration.sandbox.stripe_http import Caller


async def balance(caller: Caller) -> int:
    """What the agency has at Stripe, fees apart."""
    moves = (await caller.get("balance_transactions", limit=100))["data"]
    return sum(move["amount"] for move in moves)


async def refund(caller: Caller, intent: dict[str, Any], **more: Any) -> dict[str, Any]:
    return await caller.done("refunds", payment_intent=intent["id"], **more)


async def test_parts_and_the_rest_are_given_back(caller: Caller) -> None:
    made = await caller.paid(1000)
    await refund(caller, made, amount=300, reason="requested_by_customer", metadata__ours="r-1")
    rest = await refund(caller, made)

    assert rest["amount"] == 700
    charge = await caller.get(f"charges/{made['latest_charge']}")
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, True)
    assert await balance(caller) == 0
    found = (await caller.get("refunds", payment_intent=made["id"]))["data"]
    assert [(r["amount"], r["metadata"]) for r in found] == [(700, {}), (300, {"ours": "r-1"})]


async def test_a_pending_refund_succeeds_later(caller: Caller) -> None:
    pending = await refund(caller, await caller.paid(method="pm_card_pendingRefund"))
    assert pending["status"] == "pending"
    await caller.control("clock", advance_s=60)
    assert (await caller.get(f"refunds/{pending['id']}"))["status"] == "succeeded"


async def test_a_refund_that_fails_gives_the_amount_back(caller: Caller) -> None:
    made = await caller.paid(method="pm_card_refundFail")
    first = await refund(caller, made)
    assert first["status"] == "succeeded"
    await caller.control("clock", advance_s=60)

    failed = await caller.get(f"refunds/{first['id']}")

    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    charge = await caller.get(f"charges/{made['latest_charge']}")
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert await balance(caller) == 1000
    kinds = [event["type"] for event in (await caller.get("events", types__0="refund.failed"))["data"]]
    assert kinds == ["refund.failed"]


async def test_a_bank_refund_takes_time(caller: Caller) -> None:
    made = await caller.debited("pm_usBankAccount_success")
    await caller.control(f"payment_intents/{made['id']}/settle")
    back = await refund(caller, made, amount=100)
    assert (back["id"][:4], back["status"]) == ("pyr_", "pending")
    await caller.control(f"refunds/{back['id']}/finish", succeeds=False)
    assert (await caller.get(f"refunds/{back['id']}"))["status"] == "failed"


async def test_a_bank_answers_when_told(caller: Caller) -> None:
    made = await caller.debited("pm_usBankAccount_success")
    done = await caller.control(f"payment_intents/{made['id']}/settle", failure="no_account")
    assert done["last_payment_error"]["code"] == "no_account"
    charge = await caller.get(f"charges/{made['latest_charge']}")
    assert (charge["status"], charge["failure_code"]) == ("failed", "no_account")
    again = await caller.client.post(f"/sandbox/payment_intents/{made['id']}/settle", json={})
    assert again.status_code == 400


async def test_a_dispute_follows_its_card(caller: Caller) -> None:
    made = await caller.paid(method="pm_card_createDispute")
    (dispute,) = (await caller.get("disputes", payment_intent=made["id"]))["data"]
    assert (dispute["status"], dispute["reason"], dispute["amount"]) == ("needs_response", "fraudulent", 1000)
    assert (await caller.get(f"charges/{made['latest_charge']}"))["disputed"] is True
    assert await balance(caller) == 0
    status, error = await caller.refused("refunds", payment_intent=made["id"])
    assert (status, error["code"]) == (400, "charge_disputed")

    won = await caller.control(f"disputes/{dispute['id']}/decide", won=True)

    assert won["status"] == "won"
    assert await balance(caller) == 1000
    await refund(caller, made, amount=400)


async def test_a_dispute_comes_as_late_as_wanted(caller: Caller) -> None:
    await caller.control("behaviour", dispute_delay_s=3600)
    await caller.paid(method="pm_card_createDisputeProductNotReceived")
    assert (await caller.get("disputes"))["data"] == []
    await caller.control("clock", advance_s=3601)
    (dispute,) = (await caller.get("disputes"))["data"]
    assert dispute["reason"] == "product_not_received"


async def test_an_inquiry_moves_no_money(caller: Caller) -> None:
    await caller.paid(method="pm_card_createDisputeInquiry")
    (inquiry,) = (await caller.get("disputes"))["data"]
    assert inquiry["status"] == "warning_needs_response"
    assert await balance(caller) == 1000
    assert (await caller.control(f"disputes/{inquiry['id']}/decide", won=False))["status"] == "warning_closed"
    assert await balance(caller) == 1000


async def test_any_charge_can_be_disputed_and_lost(caller: Caller) -> None:
    made = await caller.paid(1000)
    dispute = await caller.control(f"charges/{made['latest_charge']}/dispute", amount=600, reason="duplicate")
    evidence = await caller.done(
        f"disputes/{dispute['id']}", evidence__uncategorized_text="agreed in writing"
    )
    assert (evidence["status"], evidence["evidence_details"]["submission_count"]) == ("under_review", 1)
    assert (await caller.done(f"disputes/{dispute['id']}/close"))["status"] == "lost"
    assert await balance(caller) == 400
    assert (await caller.refused(f"disputes/{dispute['id']}/close"))[0] == 400


async def test_a_bank_may_take_all_of_what_was_refunded_in_part_and_reverse_its_decision(
    caller: Caller,
) -> None:
    made = await caller.paid(1000)
    await caller.done("refunds", charge=made["latest_charge"], amount=300)
    dispute = await caller.control(f"charges/{made['latest_charge']}/dispute", whole=True)
    assert (dispute["amount"], await balance(caller)) == (1000, -300)
    assert (await caller.control(f"disputes/{dispute['id']}/decide", won=False))["status"] == "lost"
    assert (await caller.control(f"disputes/{dispute['id']}/decide", won=True))["status"] == "won"
    assert await balance(caller) == 700


async def test_a_returned_debit_is_a_dispute(caller: Caller) -> None:
    made = await caller.debited("pm_usBankAccount_dispute")
    await caller.control(f"payment_intents/{made['id']}/settle")
    await caller.get("account")
    (dispute,) = (await caller.get("disputes"))["data"]
    assert (dispute["reason"], dispute["charge"]) == ("debit_not_authorized", made["latest_charge"])


@pytest.mark.parametrize(
    ("method", "succeeds", "status", "code"),
    [
        ("pm_card_authenticationRequired", True, "succeeded", None),
        (
            "pm_card_authenticationRequired",
            False,
            "requires_payment_method",
            "payment_intent_authentication_failure",
        ),
        (
            "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
            True,
            "requires_payment_method",
            "card_declined",
        ),
    ],
)
async def test_the_holder_is_asked(
    caller: Caller, method: str, succeeds: bool, status: str, code: str | None
) -> None:
    asked = await caller.paid(method=method, return_url="http://example.test/back")
    assert asked["status"] == "requires_action"
    page = asked["next_action"]["redirect_to_url"]["url"]
    assert "Is this payment yours?" in (await caller.client.get(page)).text

    done = await caller.control(f"payment_intents/{asked['id']}/authenticate", succeeds=succeeds)

    assert (done["status"], (done["last_payment_error"] or {}).get("code")) == (status, code)
    assert done["next_action"] is None
    assert await balance(caller) == (1000 if status == "succeeded" else 0)


async def test_the_holder_answers_on_the_page(caller: Caller) -> None:
    asked = await caller.paid(method="pm_card_authenticationRequired", return_url="http://example.test/back")
    answer = await caller.client.post(
        f"/sandbox/payment_intents/{asked['id']}/answer", data={"succeeds": "true"}
    )
    assert answer.headers["location"] == "http://example.test/back"
    assert (await caller.get(f"payment_intents/{asked['id']}"))["status"] == "succeeded"


async def test_a_page_paid_by_debit_tells_when_it_settles(caller: Caller) -> None:
    session = await caller.done(
        "checkout/sessions",
        mode="payment",
        success_url="http://example.test/",
        payment_method_types__0="us_bank_account",
        line_items__0__price_data__currency="usd",
        line_items__0__price_data__unit_amount=700,
        line_items__0__price_data__product_data__name="Account",
    )
    paid = await caller.control(f"checkout/{session['id']}/pay", payment_method="pm_usBankAccount_success")
    assert (paid["status"], paid["payment_status"]) == ("complete", "unpaid")
    await caller.control("clock", advance_s=60)
    now = await caller.get(f"checkout/sessions/{session['id']}")
    assert now["payment_status"] == "paid"
    events = await caller.get("events", limit=50)
    kinds = [event["type"] for event in events["data"]]
    assert kinds.index("checkout.session.async_payment_succeeded") < kinds.index("checkout.session.completed")


async def test_a_card_paid_for_later_use_is_kept(caller: Caller) -> None:
    customer = await caller.done("customers")
    await caller.paid(customer=customer["id"], setup_future_usage="off_session")
    (kept,) = (await caller.get(f"customers/{customer['id']}/payment_methods"))["data"]
    await caller.paid(method=kept["id"], customer=customer["id"], off_session="true")
    gone = await caller.client.delete(f"/v1/customers/{customer['id']}")
    assert gone.json()["deleted"] is True
    assert (await caller.get(f"payment_methods/{kept['id']}"))["customer"] is None
