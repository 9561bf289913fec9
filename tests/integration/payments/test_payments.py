"""Payments over REST, with a worker and the Stripe stand-in: taken, declined, waited for, recorded."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from tests.integration.api.commanding import collectors, tell
from tests.integration.api.people import make, place
from tests.integration.payments.till import Till

PROBLEM = "urn:recoup:problem:"
CARD = "4242424242424242"
CARD_IN_GROUPS = "4242 4242 4242 4242"


def today() -> date:
    """The date where the agency is."""
    return datetime.now(ZoneInfo("America/New_York")).date()


async def test_a_card_is_charged_once_and_posted(till: Till) -> None:
    account = await till.debt()
    answer = await till.pay(account, "40.00")
    assert answer.status_code == 201, answer.text
    payment = answer.json()
    assert (payment["status"], payment["amount"], payment["refunded_amount"]) == (
        "succeeded",
        "40.00",
        "0.00",
    )
    assert payment["processor_ref"].startswith("pi_")
    assert await till.balance(account) == "60.00"
    assert await till.journals(account) == [("payment", Decimal("40.00"))]
    [charge] = await till.charges(account)
    assert (charge["amount"], charge["metadata"]["recoup_payment"]) == (4000, payment["id"])
    view = await till.process(payment).result()
    assert view["status"] == "succeeded"


async def test_all_that_is_owed_closes_the_account(till: Till) -> None:
    account = await till.debt("75.50")
    await till.paid(account, "75.50")
    assert (await till.balance(account), await till.status(account)) == ("0.00", "closed")


@pytest.mark.parametrize(
    ("method", "reference", "received_on"), [("check", "No. 1204", 3), ("cash", None, None)]
)
async def test_what_is_handed_in_is_recorded_without_stripe(
    till: Till, method: str, reference: str | None, received_on: int | None
) -> None:
    account = await till.debt()
    day = (today() - timedelta(days=received_on)).isoformat() if received_on else None
    answer = await till.pay(
        account, "25.00", method=method, payment_method=None, reference=reference, received_on=day
    )
    assert answer.status_code == 201, answer.text
    payment = answer.json()
    assert (payment["status"], payment["processor_ref"]) == ("succeeded", None)
    assert payment["received_on"] == day or payment["received_on"] == today().isoformat()
    assert await till.journals(account) == [("payment", Decimal("25.00"))]
    assert await till.intents(account) == []
    [(occurred,)] = await till.query("SELECT occurred_at FROM journal WHERE key = :id", id=payment["id"])
    assert occurred.astimezone(ZoneInfo("America/New_York")).date().isoformat() == payment["received_on"]


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_a_decline_is_an_answer_and_not_tried_again(till: Till, card: str, code: str) -> None:
    account = await till.debt()
    answer = await till.pay(account, payment_method=card)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["status"], answer.json()["failure_code"]) == ("failed", code)
    assert answer.json()["failure_message"]
    assert (await till.balance(account), await till.journals(account)) == ("100.00", [])
    [intent] = await till.intents(account)
    attempts = await till.caller.get("charges", payment_intent=intent["id"])
    assert [attempt["status"] for attempt in attempts["data"]] == ["failed"]
    assert (await till.paid(account, "100.00"))["status"] == "succeeded"


async def test_what_stripe_does_not_accept_fails_with_its_code(till: Till) -> None:
    account = await till.debt()
    unknown = (await till.pay(account, payment_method="pm_nobodyHasThisOne")).json()
    assert (unknown["status"], unknown["failure_code"]) == ("failed", "resource_missing")
    tiny = (await till.pay(account, "0.49")).json()
    assert (tiny["status"], tiny["failure_code"]) == ("failed", "amount_too_small")
    assert await till.journals(account) == []


async def test_a_card_whose_holder_is_asked_waits_for_them(till: Till) -> None:
    account = await till.debt()
    answer = await till.pay(account, payment_method="pm_card_authenticationRequired")
    assert answer.status_code == 202, answer.text
    payment = answer.json()
    assert payment["status"] == "requires_action"
    assert payment["action_url"].startswith("http")
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/authenticate", succeeds=True)
    await till.process(payment).signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["action_url"]) == ("succeeded", None)
    assert await till.balance(account) == "60.00"


async def test_a_holder_who_does_not_pass_pays_nothing(till: Till) -> None:
    account = await till.debt()
    payment = (await till.pay(account, payment_method="pm_card_authenticationRequired")).json()
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/authenticate", succeeds=False)
    await till.process(payment).signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"]) == ("failed", "payment_intent_authentication_failure")
    assert await till.journals(account) == []


@pytest.mark.parametrize(
    ("failure", "status", "code", "balance"),
    [(None, "succeeded", None, "60.00"), ("no_account", "failed", "no_account", "100.00")],
)
async def test_a_bank_debit_is_followed_to_its_end(
    till: Till, failure: str | None, status: str, code: str | None, balance: str
) -> None:
    account = await till.debt()
    answer = await till.pay(account, method="bank_transfer", payment_method="pm_usBankAccount_processing")
    assert answer.status_code == 202, answer.text
    payment = answer.json()
    assert payment["status"] == "processing"
    assert (await till.balance(account), await till.journals(account)) == ("100.00", [])
    told = {"failure": failure} if failure else {}
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/settle", **told)
    await till.process(payment).signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"]) == (status, code)
    assert await till.balance(account) == balance


async def test_a_debit_carries_the_day_on_which_it_was_agreed_to(till: Till) -> None:
    account = await till.debt()
    day = today() - timedelta(days=5)
    payment = await till.pay(
        account,
        method="bank_transfer",
        payment_method="pm_usBankAccount_processing",
        authorised_on=day.isoformat(),
    )
    assert payment.status_code == 202, payment.text
    [(agreed,)] = await till.query(
        "SELECT authorised_at FROM payment WHERE id = :id", id=payment.json()["id"]
    )
    assert agreed.astimezone(ZoneInfo("America/New_York")).date() == day


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "zero": ({"amount": "0.00"}, "amount"),
    "negative": ({"amount": "-5.00"}, "amount"),
    "three decimals": ({"amount": "10.005"}, "amount"),
    "a float": ({"amount": 10.5}, "amount"),
    "no amount": ({"amount": None}, "amount"),
    "another currency": ({"currency": "EUR"}, "currency"),
    "no currency at all": ({"currency": "dollars"}, "currency"),
    "a card without a payment method": ({"payment_method": None}, "payment_method"),
    "a card number": ({"payment_method": CARD}, "payment_method"),
    "a card number in groups": ({"payment_method": CARD_IN_GROUPS}, "payment_method"),
    "a card number as a number": ({"payment_method": int(CARD)}, "payment_method"),
    "a card number after pm_": ({"payment_method": f"pm_{CARD}"}, "payment_method"),
    "a card number as the key": ({"idempotency_key": f"pay-{CARD_IN_GROUPS}"}, "idempotency_key"),
    "a check whose number is a card's": (
        {"method": "check", "payment_method": None, "reference": f"No. {CARD}"},
        "reference",
    ),
    "a token": ({"payment_method": "tok_visa"}, "payment_method"),
    "cash with a payment method": ({"method": "cash"}, "payment_method"),
    "a card with a reference": ({"reference": "No. 1"}, "reference"),
    "a card that was received": ({"received_on": "2026-01-01"}, "received_on"),
    "a card with a mandate": ({"authorised_on": "2026-01-01"}, "authorised_on"),
    "cash from the future": (
        {"method": "cash", "payment_method": None, "received_on": (today() + timedelta(days=2)).isoformat()},
        "received_on",
    ),
    "a check of long ago": (
        {"method": "check", "payment_method": None, "received_on": "2020-02-29"},
        "received_on",
    ),
    "an unknown way": ({"method": "barter"}, "method"),
    "no key": ({"idempotency_key": None}, "idempotency_key"),
    "an unknown field": ({"cvc": "123"}, "cvc"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_refused_by_the_name_of_its_field(till: Till, name: str) -> None:
    changed, field = BAD[name]
    account = await till.debt()
    answer = await till.pay(account, **changed)
    problem = answer.json()
    assert answer.status_code == 422, answer.text
    assert problem["field"] == field
    assert "Input should" not in problem["detail"] or "'" in problem["detail"], "our own words"
    assert CARD not in answer.text.replace(" ", "")
    assert await till.query("SELECT id FROM payment WHERE account_id = :id", id=account["id"]) == []


async def test_a_card_number_is_told_from_other_mistakes(till: Till) -> None:
    answer = await till.pay(await till.debt(), payment_method=CARD)
    assert "never taken here" in answer.text


async def test_a_key_is_sent_in_the_body_the_header_or_alike_in_both(till: Till) -> None:
    account, key = await till.debt(), uuid4().hex
    by_header = await till.pay(account, "10.00", idempotency_key=None)
    assert by_header.status_code == 422
    body = {"account_id": account["id"], "amount": "10.00", "method": "cash"}
    headers = {"Idempotency-Key": key}
    first = await till.ask("acme.admin", "POST", "/payments", body, **headers)
    both = await till.ask("acme.admin", "POST", "/payments", {**body, "idempotency_key": key}, **headers)
    assert (first.status_code, both.status_code) == (201, 201)
    assert first.json()["id"] == both.json()["id"]
    assert first.json()["idempotency_key"] == key
    differ = await till.ask("acme.admin", "POST", "/payments", {**body, "idempotency_key": "x"}, **headers)
    assert (differ.status_code, differ.json()["field"]) == (422, "idempotency_key")
    assert await till.balance(account) == "90.00"


async def test_a_key_with_another_body_is_refused(till: Till) -> None:
    account, key = await till.debt(), uuid4().hex
    assert (await till.pay(account, "10.00", idempotency_key=key)).status_code == 201
    again = await till.pay(account, "11.00", idempotency_key=key)
    assert (again.status_code, again.json()["type"]) == (422, f"{PROBLEM}idempotency-key-reused")
    assert await till.balance(account) == "90.00"


async def test_a_repetition_shows_the_payment_as_it_is_now(till: Till) -> None:
    account, key = await till.debt(), uuid4().hex
    debit = {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"}
    first = await till.pay(account, idempotency_key=key, **debit)
    assert (first.status_code, first.json()["status"]) == (202, "processing")
    await till.caller.control(f"payment_intents/{first.json()['processor_ref']}/settle")
    await till.process(first.json()).signal("provider_spoke")
    await till.ends(first.json())
    again = await till.pay(account, idempotency_key=key, **debit)
    assert (again.status_code, again.json()["status"]) == (201, "succeeded")
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.timeout(180)
async def test_two_hundred_posts_of_one_key_are_one_charge(till: Till) -> None:
    account, key = await till.debt(), uuid4().hex
    answers = await asyncio.gather(*(till.pay(account, "40.00", idempotency_key=key) for _ in range(200)))
    assert {answer.status_code for answer in answers} <= {201, 202}, answers
    assert len({answer.json()["id"] for answer in answers}) == 1
    await till.ends(answers[0].json(), "succeeded")
    assert len(await till.charges(account)) == 1
    assert await till.journals(account) == [("payment", Decimal("40.00"))]
    assert await till.balance(account) == "60.00"


async def test_two_payments_at_once_do_not_exceed_the_balance(till: Till) -> None:
    account = await till.debt()
    answers = await asyncio.gather(*(till.pay(account, "60.00") for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) in ([201, 409], [202, 409])
    [refused] = [answer.json() for answer in answers if answer.status_code == 409]
    assert refused["type"] == f"{PROBLEM}payment-refused"
    assert refused["left"] == "40.00"
    owed, under_way = Decimal(refused["balance"]), Decimal(refused["under_way"])
    assert owed - under_way == 40
    if under_way:
        assert f"balance of {owed}, of which {under_way} are under way" in refused["detail"]
    [taken] = [answer.json() for answer in answers if answer.status_code != 409]
    await till.ends(taken, "succeeded")
    assert len(await till.charges(account)) == 1


async def test_more_than_the_balance_is_refused_or_becomes_a_credit(till: Till) -> None:
    account = await till.debt()
    refused = await till.pay(account, "100.01")
    assert (refused.status_code, refused.json()["balance"]) == (409, "100.00")
    await till.query("UPDATE agency SET overpayments = 'credit' WHERE id = :id", id=till.agency_id)
    try:
        payment = await till.paid(account, "130.00")
    finally:
        await till.query("UPDATE agency SET overpayments = 'refuse' WHERE id = :id", id=till.agency_id)
    assert payment["amount"] == "130.00"
    assert await till.balance(account) == "0.00"
    rows = await till.query(
        "SELECT credit, amount FROM posting WHERE account_id = :id AND debit = 'cash'", id=account["id"]
    )
    assert {row.credit: row.amount for row in rows} == {
        "receivable": Decimal("100.00"),
        "credit_balances": Decimal("30.00"),
    }


REFUSING: dict[str, dict[str, str]] = {
    "disputed": {"status": "disputed"},
    "settled": {"status": "settled"},
    "recalled": {"status": "closed", "closed_reason": "recalled"},
    "bankruptcy": {"hold": "bankruptcy"},
    "deceased": {"hold": "deceased"},
    "chargeback": {"hold": "chargeback"},
    "unanswered": {"status": "in_contact", "dispute": "open"},
    "too much": {"amount": "130.00"},
}
"""What keeps a payment from being asked for."""
SPLIT = {
    "recalled": {"unapplied": "40.00"},
    "too much": {"receivable": "100.00", "credit_balances": "30.00"},
}
"""Where money is posted that comes all the same, unless it is simply the debt's."""
ASKED_FOR: dict[str, dict[str, str]] = {
    "card": {},
    "debit": {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"},
}


async def refusing(till: Till, name: str) -> tuple[Any, str]:
    """An account to which something has happened, and the amount to pay on it."""
    wanted = dict(REFUSING[name])
    hold, amount = wanted.pop("hold", None), wanted.pop("amount", "40.00")
    dispute = wanted.pop("dispute", None)
    account = await till.debt(**wanted)
    if dispute:
        await till.dispute(account)
    if hold:
        await tell(till.world, account, "holds", {"kind": hold, "reason": "told by the court"})
    return account, amount


@pytest.mark.parametrize("method", ASKED_FOR)
@pytest.mark.parametrize("name", REFUSING)
async def test_money_is_not_asked_for_where_it_must_not_be(till: Till, name: str, method: str) -> None:
    account, amount = await refusing(till, name)
    answer = await till.pay(account, amount, **ASKED_FOR[method])
    assert (answer.status_code, answer.json()["type"]) == (409, f"{PROBLEM}payment-refused")
    wanted = REFUSING[name]
    told = {"dispute": "dispute_id", "status": "status_now", "hold": "holds", "amount": "balance"}
    field = next(told[key] for key in told if key in wanted)
    right = {"status_now": wanted.get("status"), "holds": [wanted.get("hold")], "balance": "100.00"}
    if field == "dispute_id":
        assert "12 CFR 1006.38(d)(2)" in answer.json()["detail"]
        [(right[field],)] = await till.query(
            "SELECT CAST(id AS text) FROM dispute WHERE account_id = :id", id=account["id"]
        )
    assert answer.json()[field] == right[field]
    assert await till.journals(account) == []


@pytest.mark.parametrize("method", ["check", "cash"])
@pytest.mark.parametrize("name", REFUSING)
async def test_money_that_is_in_hand_is_always_posted(till: Till, name: str, method: str) -> None:
    account, amount = await refusing(till, name)
    payment = await till.paid(account, amount, method=method, payment_method=None)
    assert (payment["status"], payment["amount"]) == ("succeeded", amount)
    rows = await till.query(
        "SELECT credit, amount FROM posting WHERE account_id = :id AND debit = 'cash'", id=account["id"]
    )
    assert {row.credit: format(row.amount, "f") for row in rows} == SPLIT.get(name, {"receivable": amount})


async def test_a_currency_without_cents_is_not_asked_for(till: Till) -> None:
    account = await till.debt()
    await till.query("UPDATE account SET currency = 'JPY' WHERE id = :id", id=account["id"])
    for method in ASKED_FOR.values():
        answer = await till.pay(account, currency="JPY", **method)
        assert (answer.status_code, answer.json()["field"]) == (422, "currency")
        assert "JPY" in answer.json()["detail"]
    link = await till.ask("acme.admin", "POST", f"/accounts/{account['id']}/payment-links", {})
    assert (link.status_code, link.json()["field"]) == (422, "currency")
    assert await till.query("SELECT id FROM payment WHERE account_id = :id", id=account["id"]) == []


async def test_a_debtor_may_pay_though_nobody_may_write_to_them(till: Till) -> None:
    account = await till.debt()
    await tell(till.world, account, "holds", {"kind": "cease", "reason": "in writing"})
    assert (await till.pay(account)).status_code == 201


async def test_an_account_that_is_not_there_or_of_another_agency_is_404(till: Till) -> None:
    assert (await till.pay({"id": str(uuid4())})).status_code == 404
    account = await till.debt()
    assert (await till.pay(account, who="rival.admin")).status_code == 404
    payment = await till.paid(account)
    for method, path in (("GET", ""), ("POST", "/refund")):
        answer = await till.ask("rival.admin", method, f"/payments/{payment['id']}{path}")
        assert answer.status_code == 404, answer.text
    assert (await till.ask("rival.admin", "GET", "/payments")).json()["results"] == []


async def test_a_collector_takes_payments_on_their_own_accounts_only(till: Till) -> None:
    mine = (await collectors(till.world))["acme.collector"]
    own, other = await till.debt(assigned_to=mine), await till.debt()
    taken = await till.pay(own, who="acme.collector")
    assert taken.status_code == 201, taken.text
    assert (await till.pay(other, who="acme.collector")).status_code == 404
    foreign = await till.paid(other)
    listed = (await till.ask("acme.collector", "GET", "/payments")).json()["results"]
    assert taken.json()["id"] in [row["id"] for row in listed]
    assert foreign["id"] not in [row["id"] for row in listed]
    theirs, none = [
        (await till.ask("acme.collector", "GET", f"/payments/{one}")).json()
        for one in (foreign["id"], uuid4())
    ]
    assert [(one["status"], one["detail"]) for one in (theirs, none)] == [
        (404, "there is no such payment")
    ] * 2
    await till.query("UPDATE account SET assigned_to = NULL WHERE id = :id", id=own["id"])
    again = await till.pay(own, who="acme.collector", idempotency_key=taken.json()["idempotency_key"])
    assert again.status_code == 404


async def test_without_credentials_only_what_is_handed_in_is_taken(till: Till) -> None:
    rival = await make(till.world, who="rival.admin")
    account = await place(till.world, rival, "50.00", who="rival.admin")
    refused = await till.pay(account, who="rival.admin")
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}no-stripe-credentials")
    cash = await till.pay(account, who="rival.admin", method="cash", payment_method=None)
    assert cash.status_code == 201, cash.text


async def test_lists_are_filtered_and_newest_first(till: Till) -> None:
    account = await till.debt()
    paid = await till.paid(account, "10.00")
    declined = (await till.pay(account, payment_method="pm_card_chargeDeclinedExpiredCard")).json()

    async def listed(**query: Any) -> list[str]:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        answer = await till.ask("acme.auditor", "GET", f"/payments?{words}")
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["results"]]

    assert await listed(account=account["id"]) == [declined["id"], paid["id"]]
    assert await listed(account=account["id"], status="succeeded") == [paid["id"]]
    assert await listed(account=account["id"], page_size=1) == [declined["id"]]
    for wrong in ("acount=x", "status=lost", "account=7"):
        assert (await till.ask("acme.admin", "GET", f"/payments?{wrong}")).status_code == 422


async def test_what_happened_is_on_the_timeline_and_on_record(till: Till) -> None:
    account = await till.debt()
    payment = await till.paid(account, "40.00")
    rows = await till.query(
        "SELECT action FROM audit_record WHERE entity_id = :id ORDER BY at, id", id=payment["id"]
    )
    assert [row.action for row in rows] == ["payment.requested", "payment.posted"]
    events = await till.query(
        "SELECT description, new FROM timeline_event WHERE account_id = :id AND kind = 'payment'",
        id=account["id"],
    )
    assert [tuple(event) for event in events] == [("Payment of 40.00 USD received", "succeeded")]
    assert datetime.fromisoformat(payment["created_at"]) <= datetime.now(UTC)
