"""Requests, errors and lists of the Stripe stand-in, byte for byte where it matters."""

from typing import Any

import pytest
import stripe

from sandbox.stripe.api import NOTICE
from tests.integration.sandbox.stripe_http import Caller

# What Stripe leaves out of an answer unless asked, or for other countries, products and methods.
LEFT_OUT: dict[type, set[str]] = {
    stripe.PaymentIntent: {
        "allowed_payment_method_types", "hooks", "managed_payments", "payment_details", "payment_record",
        "presentment_details",
    },
    stripe.Charge: {"authorization_code", "level3", "refunds", "transfer"},
    stripe.Refund: {
        "customer_account", "description", "failure_balance_transaction", "failure_reason",
        "instructions_email", "next_action", "presentment_details",
    },
    stripe.Dispute: {"intended_submission_method"},
    stripe.Customer: {
        "business_name", "cash_balance", "customer_account", "deleted", "individual_name",
        "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids",
    },
    stripe.Event: set(),
    stripe.BalanceTransaction: set(),
    stripe.checkout.Session: {
        "allowed_payment_method_types", "branding_settings", "excluded_payment_method_types",
        "integration_identifier", "line_items", "managed_payments", "name_collection", "optional_items",
        "presentment_details", "redirect_on_completion", "return_url", "tax_id_collection",
    },
    stripe.WebhookEndpoint: {"deleted", "secret"},
}  # fmt: skip


async def _one_of_each(caller: Caller) -> dict[type, dict[str, Any]]:
    customer = await caller.done("customers", name="Ada", metadata__debtor="d-1")
    endpoint = await caller.done("webhook_endpoints", url="http://127.0.0.1:9/", enabled_events__0="none")
    intent = await caller.paid(method="pm_card_createDispute")
    other = await caller.paid()
    session = await caller.done(
        "checkout/sessions",
        mode="payment",
        success_url="http://example.test/",
        line_items__0__quantity=1,
        line_items__0__price_data__currency="usd",
        line_items__0__price_data__unit_amount=700,
        line_items__0__price_data__product_data__name="Account",
    )
    return {
        stripe.Customer: customer,
        stripe.PaymentIntent: intent,
        stripe.Charge: await caller.get(f"charges/{intent['latest_charge']}"),
        stripe.Refund: await caller.done("refunds", payment_intent=other["id"], amount=100),
        stripe.Dispute: (await caller.get("disputes"))["data"][0],
        stripe.Event: (await caller.get("events"))["data"][0],
        stripe.BalanceTransaction: (await caller.get("balance_transactions"))["data"][0],
        stripe.checkout.Session: session,
        stripe.WebhookEndpoint: await caller.get(f"webhook_endpoints/{endpoint['id']}"),
    }


async def test_objects_have_the_members_that_the_library_declares(caller: Caller) -> None:
    for kind, body in (await _one_of_each(caller)).items():
        members = set(kind.__annotations__) - {"OBJECT_NAME"}
        members = {name for name in members if not name.startswith("_")}
        assert set(body) <= members, f"{kind.__name__} has what Stripe has not"
        assert members - set(body) == LEFT_OUT[kind], f"{kind.__name__} lacks what Stripe has"
        assert body.get("livemode") is not True


async def test_no_answer_shows_what_the_sandbox_keeps_for_itself(caller: Caller) -> None:
    bodies = list((await _one_of_each(caller)).values())
    bodies += (await caller.get("events", limit=100, expand__0="data.data"))["data"]
    bodies.append(await caller.get("payment_intents", expand__0="data.payment_method"))
    assert "sandbox_" not in str(bodies)


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/customers", "/sandbox/faults", "/nowhere"])
async def test_every_answer_says_what_it_is(caller: Caller, path: str) -> None:
    answer = await caller.client.get(path)
    assert answer.headers["recoup-sandbox"] == NOTICE
    assert "development and tests only" in NOTICE


async def test_the_root_page_says_what_it_is(caller: Caller) -> None:
    page = (await caller.client.get("/")).text
    assert NOTICE in page
    assert "POST /v1/payment_intents/{intent}/confirm" in page


@pytest.mark.parametrize(
    ("path", "data", "status", "code", "param"),
    [
        ("payment_intents", {}, 400, "parameter_missing", "amount"),
        ("payment_intents", {"amount": "1.5", "currency": "usd"}, 400, "parameter_invalid_integer", "amount"),
        ("payment_intents", {"amount": "500", "currency": ""}, 400, "parameter_invalid_empty", "currency"),
        ("payment_intents", {"amount": "500", "currency": "usd", "colour": "x"},
         400, "parameter_unknown", "colour"),
        (
            "payment_intents",
            {"amount": "500", "currency": "usd", "mandate_data__extra": "x", "confirm": "true"},
            400,
            "parameter_missing",
            "mandate_data[customer_acceptance][type]",
        ),
        ("payment_intents", {"amount": "500", "currency": "usd", "customer": "cus_x"},
         400, "resource_missing", "customer"),
        ("payment_intents/pi_x/confirm", {}, 404, "resource_missing", "id"),
        ("refunds", {"charge": "ch_x"}, 400, "resource_missing", "charge"),
        ("refunds", {}, 400, "parameter_missing", "charge"),
        ("payment_methods", {"type": "card", "card__number": "4111111111111111", "card__exp_month": 1,
                             "card__exp_year": 2030}, 402, "incorrect_number", "card[number]"),
        ("payment_methods", {"type": "us_bank_account", "us_bank_account__account_number": "1",
                             "us_bank_account__routing_number": "110000000"},
         400, "account_number_invalid", "us_bank_account[account_number]"),
        ("webhook_endpoints", {"url": "ftp://x", "enabled_events__0": "*"}, 400, "url_invalid", "url"),
        ("checkout/sessions", {"mode": "payment", "success_url": "http://x.test"},
         400, "parameter_missing", "line_items"),
        ("nothing", {}, 404, None, None),
    ],
)  # fmt: skip
async def test_an_error_names_code_and_parameter(
    caller: Caller, path: str, data: dict[str, str], status: int, code: str | None, param: str | None
) -> None:
    answered, error = await caller.refused(path, **data)
    assert (answered, error.get("code"), error.get("param")) == (status, code, param)
    assert error["message"]
    assert error["type"] in {"invalid_request_error", "card_error"}


async def test_a_decline_carries_the_intent_and_the_charge(caller: Caller) -> None:
    status, error = await caller.refused(
        "payment_intents",
        amount=900,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa_chargeDeclinedInsufficientFunds",
    )
    assert (status, error["type"], error["code"]) == (402, "card_error", "card_declined")
    assert error["decline_code"] == "insufficient_funds"
    intent = await caller.get(f"payment_intents/{error['payment_intent']['id']}")
    assert intent == error["payment_intent"]
    assert intent["status"] == "requires_payment_method"
    assert intent["latest_charge"] == error["charge"]
    charge = await caller.get(f"charges/{error['charge']}")
    assert (charge["status"], charge["failure_code"], charge["paid"]) == ("failed", "card_declined", False)


async def test_test_numbers_make_methods(caller: Caller) -> None:
    card = await caller.done(
        "payment_methods",
        type="card",
        card__number="4000 0000 0000 9995",
        card__exp_month=1,
        card__exp_year=2031,
    )
    bank = await caller.done(
        "payment_methods",
        type="us_bank_account",
        us_bank_account__account_number="000222222227",
        us_bank_account__routing_number="110000000",
        billing_details__name="Ada",
    )
    assert (card["card"]["last4"], bank["us_bank_account"]["last4"]) == ("9995", "2227")
    assert bank["billing_details"]["name"] == "Ada"
    status, error = await caller.refused(
        "payment_intents", amount=900, currency="usd", confirm="true", payment_method=card["id"]
    )
    assert (status, error["decline_code"]) == (402, "insufficient_funds")


async def test_a_json_body_is_refused(caller: Caller) -> None:
    answer = await caller.client.post("/v1/customers", json={"name": "Ada"})
    assert answer.status_code == 400
    assert "form-encoded" in answer.text or "urlencoded" in answer.text


async def test_the_version_is_answered_and_must_be_one(caller: Caller) -> None:
    good = await caller.client.get("/v1/customers", headers={"Stripe-Version": "2025-03-31.basil"})
    assert good.headers["stripe-version"] == "2025-03-31.basil"
    bad = await caller.client.get("/v1/customers", headers={"Stripe-Version": "latest"})
    assert bad.status_code == 400


async def test_basic_authentication_works_too(caller: Caller, stripe_key: str) -> None:
    made = await caller.done("customers")
    answer = await caller.client.get(f"/v1/customers/{made['id']}", auth=(stripe_key, ""))
    assert answer.json()["id"] == made["id"]


async def test_lists_are_newest_first_and_paged_both_ways(caller: Caller) -> None:
    made = [(await caller.done("customers", name=str(number)))["id"] for number in range(7)][::-1]

    first = await caller.get("customers", limit=3)
    second = await caller.get("customers", limit=3, starting_after=made[2])
    last = await caller.get("customers", limit=3, starting_after=made[5])
    back = await caller.get("customers", limit=2, ending_before=made[4])

    assert [c["id"] for c in first["data"]] == made[:3]
    assert [c["id"] for c in second["data"]] == made[3:6]
    assert [c["id"] for c in last["data"]] == made[6:]
    assert [c["id"] for c in back["data"]] == made[2:4]
    assert [page["has_more"] for page in (first, second, last, back)] == [True, True, False, True]
    assert first["url"] == "/v1/customers"
    assert len((await caller.get("customers"))["data"]) == 7


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"starting_after": "cus_nobody"}, "starting_after"),
        ({"created__gte": "yesterday"}, "created[gte]"),
        ({"created__since": "1"}, "created[since]"),
    ],
)
async def test_a_list_refuses_what_it_does_not_know(
    caller: Caller, params: dict[str, str], param: str
) -> None:
    query = {name.replace("__", "[") + ("]" if "__" in name else ""): value for name, value in params.items()}
    answer = await caller.client.get("/v1/customers", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_lists_are_filtered_by_time_and_kind(caller: Caller) -> None:
    early = await caller.paid()
    await caller.control("clock", advance_s=100)
    late = await caller.paid()

    async def created(**bounds: int) -> list[str]:
        found = await caller.get("payment_intents", **{f"created__{k}": v for k, v in bounds.items()})
        return [intent["id"] for intent in found["data"]]

    assert await created(gte=late["created"]) == [late["id"]]
    assert await created(gt=early["created"], lte=late["created"]) == [late["id"]]
    assert await created(lt=late["created"]) == [early["id"]]
    charges = await caller.get("charges", payment_intent=early["id"])
    assert [charge["id"] for charge in charges["data"]] == [early["latest_charge"]]
    events = await caller.get("events", types__0="payment_intent.succeeded")
    assert [event["data"]["object"]["id"] for event in events["data"]] == [late["id"], early["id"]]


async def test_expanded_members_are_objects(caller: Caller) -> None:
    made = await caller.paid()
    one = await caller.get(f"payment_intents/{made['id']}", expand__0="latest_charge.balance_transaction")
    assert one["latest_charge"]["balance_transaction"]["amount"] == 1000
    assert one["latest_charge"]["balance_transaction"]["net"] == 1000 - 59
    many = await caller.get("charges", expand__0="data.payment_intent")
    assert many["data"][0]["payment_intent"]["id"] == made["id"]
    answer = await caller.client.get(f"/v1/payment_intents/{made['id']}", params={"expand[]": "nothing"})
    assert answer.status_code == 400


async def test_metadata_is_merged_and_unset(caller: Caller) -> None:
    made = await caller.done(
        "payment_intents", amount=500, currency="usd", metadata__a="1", metadata__2="two"
    )
    changed = await caller.done(f"payment_intents/{made['id']}", metadata__a="", metadata__b="3")
    assert changed["metadata"] == {"2": "two", "b": "3"}
