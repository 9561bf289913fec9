"""Payment methods: test cards and test bank accounts, kept for a customer or used once."""

import hashlib
from typing import Final

from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.outcomes import BY_NUMBER, READY_MADE, ROUTING_NUMBER, Outcome
from sandbox.stripe.refusals import Refusal, missing, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

KINDS: Final = ("card", "us_bank_account")
SPENT: Final = "sandbox_spent"
"""The intent that used the method without a customer, or ``detached``: nothing else may use it again."""
MANDATE: Final = "sandbox_mandate"
"""The mandate that a bank account's holder gave; debits need one."""
NUMBER: Final = "sandbox_number"
_PRIVATE: Final = (SPENT, MANDATE, NUMBER)
_GONE: Final = (
    "The payment method was used before without being attached to a customer, or was detached from one. "
    "It may not be used again: attach a payment method to a customer before its first use"
)


def public(method: Json) -> Json:
    """The payment method as it is answered."""
    return {name: value for name, value in method.items() if name not in _PRIVATE}


def outcome_of(method: Json) -> Outcome:
    """What charging the method does."""
    return BY_NUMBER[method[NUMBER]]


def create(world: World, form: Form) -> Json:
    """``POST /v1/payment_methods``; only test numbers are known here."""
    kind = form.choice("type", KINDS) or form.required("type")
    billing = _billing(form)
    metadata = form.metadata() or {}
    form.choice("allow_redisplay", ("always", "limited", "unspecified"))
    group = form.group(kind) or Form({}, kind)
    outcome = _card(group) if kind == "card" else _bank(group)
    form.finish()
    return public(_made(world, outcome, billing, metadata))


def retrieve(world: World, form: Form, payment_method: str) -> Json:
    """``GET /v1/payment_methods/{payment_method}``."""
    form.finish()
    return public(world.get("payment_method", payment_method))


def update(world: World, form: Form, payment_method: str) -> Json:
    """``POST /v1/payment_methods/{payment_method}``: metadata and billing details."""
    found = world.get("payment_method", payment_method)
    if "billing_details" in form:
        found["billing_details"] = _billing(form)
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    return public(world.save(found))


def attach(world: World, form: Form, payment_method: str) -> Json:
    """``POST /v1/payment_methods/{payment_method}/attach``; a ready-made name makes a method of its own."""
    customer = form.required("customer")
    form.finish()
    world.named("customer", customer, "customer")
    method = usable(world, payment_method, "payment_method", status=404)
    if method["customer"] not in {None, customer}:
        raise wrong_state(
            "The payment method is attached to another customer: detach it first",
            "payment_method_unexpected_state",
        )
    return public(attached(world, method, customer))


def detach(world: World, form: Form, payment_method: str) -> Json:
    """``POST /v1/payment_methods/{payment_method}/detach``; it may not be used again after."""
    form.finish()
    method = world.get("payment_method", payment_method)
    if method["customer"] is None:
        raise wrong_state(
            "The payment method is not attached to a customer", "payment_method_unexpected_state"
        )
    return public(_detached(world, method))


def listing(world: World, form: Form, customer: str | None = None) -> Json:
    """``GET /v1/payment_methods?customer=`` and ``GET /v1/customers/{customer}/payment_methods``."""
    if customer is not None:
        world.get("customer", customer, "customer")
    owner = customer or form.required("customer")
    inner = Form({**form.values, "customer": owner})
    page = listed(world, inner, "payment_method", "/v1/payment_methods", filters=("customer", "type"))
    return page | {"data": [public(method) for method in page["data"]]}


def usable(world: World, name: str, param: str, *, status: int = 400, by: str | None = None) -> Json:
    """The method of this id, or a new one for a ready-made name.

    Raises ``Refusal`` for one used up, unless by the intent ``by`` that still holds it.
    """
    if name in READY_MADE:
        return _made(world, READY_MADE[name], _billing(Form({})), {})
    found = world.store.get(world.account, name, "payment_method")
    if found is None:
        raise missing("PaymentMethod", name, param, status=status)
    if found[SPENT] and found[SPENT] != by:
        raise Refusal(_GONE, param=param, executed=True)
    return found


def attached(world: World, method: Json, customer: str) -> Json:
    """Keep the method for a customer."""
    if method["customer"] == customer:
        return method
    world.save(method | {"customer": customer})
    world.emit("payment_method.attached", public(method | {"customer": customer}))
    return method | {"customer": customer}


def detach_all(world: World, customer: str) -> None:
    """Take all methods from a customer."""
    while found := world.store.page(world.account, "payment_method", where={"customer": customer}, limit=100):
        for method in found:
            _detached(world, method)


def _detached(world: World, method: Json) -> Json:
    owner = method["customer"]
    world.save(method | {"customer": None, SPENT: "detached"})
    world.emit("payment_method.detached", public(method | {"customer": None}), {"customer": owner})
    return method | {"customer": None, SPENT: "detached"}


def _card(group: Form) -> Outcome:
    if token := group.text("token"):
        group.finish()
        name = token.replace("tok_", "pm_card_", 1)
        if name not in READY_MADE:
            raise missing("token", token, group.path("token"), status=400)
        return READY_MADE[name]
    number = group.required("number").replace(" ", "")
    month = group.integer("exp_month", least=1, most=12)
    year = group.integer("exp_year", least=2000, most=2100)
    group.text("cvc", longest=4)
    group.finish()
    if month is None or year is None:
        raise Refusal(
            "The card needs exp_month and exp_year", code="parameter_missing", param=group.path("exp_month")
        )
    return _known(number, "card", group)


def _bank(group: Form) -> Outcome:
    number = group.required("account_number")
    routing = group.required("routing_number")
    group.choice("account_holder_type", ("individual", "company"))
    group.choice("account_type", ("checking", "savings"))
    group.finish()
    if routing != ROUTING_NUMBER:
        raise Refusal(
            f"The routing number is none: here only {ROUTING_NUMBER} is a bank",
            code="routing_number_invalid",
            param=group.path("routing_number"),
        )
    return _known(number, "us_bank_account", group)


def _known(number: str, kind: str, group: Form) -> Outcome:
    outcome = BY_NUMBER.get(number)
    if outcome is None or outcome.kind != kind:
        part = "number" if kind == "card" else "account_number"
        raise Refusal(
            "Here only Stripe's published test numbers are known; real numbers must never come here",
            kind="card_error" if kind == "card" else "invalid_request_error",
            code="incorrect_number" if kind == "card" else "account_number_invalid",
            param=group.path(part),
        )
    return outcome


def _made(world: World, outcome: Outcome, billing: Json, metadata: dict[str, str]) -> Json:
    details = _card_details(outcome) if outcome.kind == "card" else _bank_details(outcome)
    return world.save(
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing,
            outcome.kind: details,
            "created": world.created,
            "customer": None,
            "livemode": False,
            "metadata": metadata,
            "type": outcome.kind,
            SPENT: None,
            MANDATE: None,
            NUMBER: outcome.number,
        }
    )


def _card_details(outcome: Outcome) -> Json:
    return {
        "brand": outcome.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": outcome.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": _fingerprint(outcome),
        "funding": outcome.funding,
        "generated_from": None,
        "last4": outcome.number[-4:],
        "networks": {"available": [outcome.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank_details(outcome: Outcome) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": _fingerprint(outcome),
        "last4": outcome.number[-4:],
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": ROUTING_NUMBER,
        "status_details": {},
    }


def _fingerprint(outcome: Outcome) -> str:
    return hashlib.sha256(outcome.number.encode()).hexdigest()[:16]


def _billing(form: Form) -> Json:
    group = form.group("billing_details") or Form({})
    address = group.group("address") or Form({})
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {
        "address": {name: address.text(name) for name in names},
        "email": group.text("email"),
        "name": group.text("name"),
        "phone": group.text("phone"),
        "tax_id": None,
    }
