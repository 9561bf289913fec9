"""Checkout: a hosted page on which a debtor pays one amount."""

from typing import Final
from urllib.parse import urlsplit

from sandbox.stripe import intents
from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import KINDS
from sandbox.stripe.refusals import Refusal, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

_LONGEST_S: Final = 86_400
_SHORTEST_S: Final = 1_800
INTENT: Final = "sandbox_intent"
"""What ``payment_intent_data`` asked for."""


def public(session: Json) -> Json:
    """The session as it is answered."""
    return {name: value for name, value in session.items() if name != INTENT}


def create(world: World, form: Form) -> Json:
    """``POST /v1/checkout/sessions`` in mode ``payment``, for lines with a price of their own."""
    form.required("mode")
    form.choice("mode", ("payment",))
    success_url, cancel_url = _url(form, "success_url"), _url(form, "cancel_url")
    customer, email = form.text("customer"), form.text("customer_email")
    reference = form.text("client_reference_id", longest=200)
    kinds = form.strings("payment_method_types") or ["card"]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise Refusal(f"Unknown payment method type: {unknown[0]}", param="payment_method_types")
    total, currency = _total(form)
    data = form.group("payment_intent_data") or Form({}, "payment_intent_data")
    wanted = {
        "metadata": data.metadata() or {},
        "description": data.text("description"),
        "setup_future_usage": data.choice("setup_future_usage", ("off_session", "on_session")),
    }
    metadata = form.metadata() or {}
    expires_at = form.integer(
        "expires_at", least=world.created + _SHORTEST_S, most=world.created + _LONGEST_S
    ) or (world.created + _LONGEST_S)
    form.finish()
    world.named("customer", customer, "customer")
    session = world.save(
        _session(world, total, currency)
        | {
            "cancel_url": cancel_url,
            "client_reference_id": reference,
            "customer": customer,
            "customer_email": email,
            "expires_at": expires_at,
            "metadata": metadata,
            "payment_method_types": kinds,
            "success_url": success_url,
            INTENT: wanted,
        }
    )
    world.later(expires_at - world.now, "expire_session", session["id"])
    return public(session)


def retrieve(world: World, form: Form, session: str) -> Json:
    """``GET /v1/checkout/sessions/{session}``."""
    form.finish()
    return public(world.get("checkout.session", session))


def update(world: World, form: Form, session: str) -> Json:
    """``POST /v1/checkout/sessions/{session}``: metadata."""
    found = world.get("checkout.session", session)
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    return public(world.save(found))


def expire(world: World, form: Form, session: str) -> Json:
    """``POST /v1/checkout/sessions/{session}/expire``: the link no longer works."""
    form.finish()
    found = world.get("checkout.session", session)
    if found["status"] != "open":
        raise wrong_state(
            f"Only an open session can expire: its status is {found['status']}",
            "checkout_session_unexpected_state",
        )
    return public(expired(world, found))


def listing(world: World, form: Form) -> Json:
    """``GET /v1/checkout/sessions``."""
    filters = ("customer", "payment_intent", "status")
    page = listed(world, form, "checkout.session", "/v1/checkout/sessions", filters=filters)
    return page | {"data": [public(session) for session in page["data"]]}


def expired(world: World, session: Json) -> Json:
    """The session ends unpaid, if it is still open."""
    if session["status"] != "open":
        return session
    done = world.save(session | {"status": "expired", "url": None})
    world.emit("checkout.session.expired", public(done))
    return done


def paid(world: World, session: Json, payment_method: str) -> Json:
    """The debtor pays on the page. Raises ``Refusal`` for a decline, after which they may try again."""
    if session["status"] != "open":
        raise wrong_state(f"The session is {session['status']}", "checkout_session_unexpected_state")
    wanted = session[INTENT]
    if session["payment_intent"] is None:
        form: Json = {
            "amount": str(session["amount_total"]),
            "currency": session["currency"],
            "metadata": wanted["metadata"],
            "payment_method_types": {
                str(at): kind for at, kind in enumerate(session["payment_method_types"])
            },
        }
        optional = {name: wanted[name] for name in ("description", "setup_future_usage") if wanted[name]}
        if session["customer"]:
            optional["customer"] = session["customer"]
        intent = intents.create(world, Form(form | optional))
        session = world.save(session | {"payment_intent": intent["id"]})
    confirmation: Json = {"payment_method": payment_method, "return_url": session["success_url"]}
    confirmation["mandate_data"] = {"customer_acceptance": {"type": "online"}}
    intent = intents.confirm(world, Form(confirmation), session["payment_intent"])
    return complete(world, session, intent)


def complete(world: World, session: Json, intent: Json) -> Json:
    """The session ends when its payment is made or, for a bank debit, begun."""
    if session["status"] != "open" or intent["status"] not in {"succeeded", "processing"}:
        return session
    paid_now = intent["status"] == "succeeded"
    done = world.save(
        session | {"payment_status": "paid" if paid_now else "unpaid", "status": "complete", "url": None}
    )
    world.emit("checkout.session.completed", public(done))
    return done


def settled(world: World, intent: Json) -> None:
    """Tell the session of a bank debit, or of one the holder was asked about, how its payment ended."""
    found = world.store.page(
        world.account, "checkout.session", where={"payment_intent": intent["id"]}, limit=1
    )
    for session in found:
        if session["status"] == "open":
            complete(world, session, intent)
        elif session["payment_status"] == "unpaid" and intent["status"] == "succeeded":
            world.save(session | {"payment_status": "paid"})
            world.emit(
                "checkout.session.async_payment_succeeded", public(session | {"payment_status": "paid"})
            )
        elif intent["status"] == "requires_payment_method":
            world.emit("checkout.session.async_payment_failed", public(session))


def _total(form: Form) -> tuple[int, str]:
    total, currencies = 0, set()
    for line in form.groups("line_items"):
        price = line.group("price_data") or Form({}, line.path("price_data"))
        quantity = line.integer("quantity", least=1) or 1
        product = price.group("product_data") or Form({}, price.path("product_data"))
        product.required("name")
        product.text("description")
        currencies.add(intents.currency_of(price))
        price.required("unit_amount")
        total += (price.integer("unit_amount", least=1) or 0) * quantity
    if not currencies:
        raise Refusal("A session needs line_items", code="parameter_missing", param="line_items")
    if len(currencies) > 1:
        raise Refusal("All lines are in one currency", param="line_items")
    if not intents.LEAST <= total <= intents.MOST:
        code = "amount_too_small" if total < intents.LEAST else "amount_too_large"
        raise Refusal(
            f"The total must be between {intents.LEAST} and {intents.MOST}", code=code, param="line_items"
        )
    return total, currencies.pop()


def _url(form: Form, name: str) -> str | None:
    url = form.text(name)
    if url is not None and urlsplit(url).scheme not in {"http", "https"}:
        raise Refusal(f"{name} is no URL with http or https", code="url_invalid", param=name)
    if url is None and name == "success_url":
        form.required(name)
    return url


def _session(world: World, total: int, currency: str) -> Json:
    session_id = new_id("cs_test")
    empty = (
        "adaptive_pricing", "after_expiration", "allow_promotion_codes", "billing_address_collection",
        "client_secret", "collected_information", "consent", "consent_collection", "currency_conversion",
        "customer_account", "customer_creation", "customer_details", "invoice", "locale", "origin_context",
        "payment_intent", "payment_link", "payment_method_configuration_details", "permissions",
        "recovered_from", "saved_payment_method_options", "setup_intent", "shipping_address_collection",
        "shipping_cost", "submit_type", "subscription", "wallet_options",
    )  # fmt: skip
    return {
        "id": session_id,
        "object": "checkout.session",
        **dict.fromkeys(empty),
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "created": world.created,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "discounts": [],
        "invoice_creation": {"enabled": False},
        "livemode": False,
        "mode": "payment",
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{world.base_url}/sandbox/checkout/{session_id}",
    }
