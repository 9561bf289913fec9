"""Payment intents: one payment each, from its creation to money taken or given up."""

import re
from typing import Final

from sandbox.stripe import charges
from sandbox.stripe.attempts import attempt, with_mandate
from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import KINDS, usable
from sandbox.stripe.outcomes import Decline
from sandbox.stripe.refusals import Refusal, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

LEAST: Final = 50
MOST: Final = 99_999_999
CURRENCIES: Final = ("usd", "eur", "gbp", "cad", "aud", "chf", "mxn", "nzd")
OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCEL_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
_CANCELLED: Final = Decline(
    "payment_intent_canceled", None, "The payment was canceled while the bank had it."
)


def create(world: World, form: Form) -> Json:
    """``POST /v1/payment_intents``; with ``confirm`` it is charged at once."""
    amount, currency = amount_of(form), currency_of(form)
    customer = form.text("customer")
    name = form.text("payment_method")
    kinds = _kinds(form)
    texts = {
        field: form.text(field) for field in ("description", "receipt_email", "statement_descriptor_suffix")
    }
    usage = form.choice("setup_future_usage", ("off_session", "on_session"))
    form.choice("capture_method", ("automatic", "automatic_async"))
    form.choice("confirmation_method", ("automatic",))
    metadata = form.metadata() or {}
    confirm_now = form.boolean("confirm") or False
    confirmation = _Confirmation(form)
    form.finish()
    if not confirm_now and confirmation.given:
        raise Refusal("off_session and mandate_data go with confirm=true only", param="confirm")
    world.named("customer", customer, "customer")
    method = _checked(world, name, customer, kinds) if name else None
    given = {"customer": customer, "metadata": metadata, "setup_future_usage": usage, **texts}
    intent = world.save(_unconfirmed(world, amount, currency, kinds) | given)
    if method:
        intent = world.save(intent | {"payment_method": method["id"], "status": "requires_confirmation"})
    world.emit("payment_intent.created", intent)
    return _confirmed(world, intent, method, confirmation) if confirm_now else intent


def retrieve(world: World, form: Form, intent: str) -> Json:
    """``GET /v1/payment_intents/{intent}``."""
    form.text("client_secret")
    form.finish()
    return world.get("payment_intent", intent)


def update(world: World, form: Form, intent: str) -> Json:
    """``POST /v1/payment_intents/{intent}``: what is still open may change."""
    found = world.get("payment_intent", intent)
    if "amount" in form:
        _must_be_open(found, "change the amount of")
        found["amount"] = amount_of(form)
    if "payment_method" in form:
        _must_be_open(found, "change the payment method of")
        name = form.required("payment_method")
        method = _checked(world, name, found["customer"], found["payment_method_types"])
        found |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if "description" in form:
        found["description"] = form.text("description")
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    return world.save(found)


def confirm(world: World, form: Form, intent: str) -> Json:
    """``POST /v1/payment_intents/{intent}/confirm``. A decline is a 402 that carries the intent."""
    found = world.get("payment_intent", intent)
    name = form.text("payment_method")
    confirmation = _Confirmation(form)
    form.finish()
    _must_be_open(found, "confirm")
    wanted = name or found["payment_method"]
    by = intent if wanted == found["payment_method"] else None
    method = (
        _checked(world, wanted, found["customer"], found["payment_method_types"], by=by) if wanted else None
    )
    return _confirmed(world, found, method, confirmation)


def cancel(world: World, form: Form, intent: str) -> Json:
    """``POST /v1/payment_intents/{intent}/cancel``; also while a bank has the debit."""
    found = world.get("payment_intent", intent)
    reason = form.choice("cancellation_reason", _CANCEL_REASONS)
    form.finish()
    if found["status"] == "processing":
        charges.fail(world, world.get("charge", found["latest_charge"]), _CANCELLED)
    elif found["status"] not in OPEN:
        raise _unexpected(found, "cancel")
    done = world.save(
        found
        | {
            "canceled_at": world.created,
            "cancellation_reason": reason,
            "next_action": None,
            "processing": None,
            "status": "canceled",
        }
    )
    world.emit("payment_intent.canceled", done)
    return done


def listing(world: World, form: Form) -> Json:
    """``GET /v1/payment_intents``."""
    return listed(world, form, "payment_intent", "/v1/payment_intents", filters=("customer",))


def amount_of(form: Form, name: str = "amount") -> int:
    """An amount in cents between Stripe's limits. Raises ``Refusal``."""
    form.required(name)
    amount = form.integer(name) or 0
    if amount < 1:
        raise Refusal(
            "An amount is a positive number of cents", code="parameter_invalid_integer", param=form.path(name)
        )
    if amount < LEAST:
        raise Refusal(
            f"The amount is below the least of {LEAST}", code="amount_too_small", param=form.path(name)
        )
    if amount > MOST:
        raise Refusal(
            f"The amount is above the most of {MOST}", code="amount_too_large", param=form.path(name)
        )
    return amount


def currency_of(form: Form) -> str:
    """A currency in small letters. Raises ``Refusal``."""
    currency = form.required("currency").lower()
    if not re.fullmatch(r"[a-z]{3}", currency) or currency not in CURRENCIES:
        known = ", ".join(CURRENCIES)
        raise Refusal(f"Invalid currency: {currency}. Known here: {known}", param=form.path("currency"))
    return currency


def _unconfirmed(world: World, amount: int, currency: str, kinds: list[str]) -> Json:
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}",
        "confirmation_method": "automatic",
        "created": world.created,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {kind: {} for kind in kinds},
        "payment_method_types": kinds,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


class _Confirmation:
    """The parameters that go with confirming."""

    def __init__(self, form: Form) -> None:
        self.off_session = form.boolean("off_session") or False
        self.return_url = form.text("return_url")
        form.anything("payment_method_options")
        mandate = form.group("mandate_data")
        self.mandate = mandate is not None
        if mandate:
            acceptance = mandate.group("customer_acceptance") or Form({}, mandate.path("customer_acceptance"))
            if acceptance.required("type") not in {"online", "offline"}:
                raise Refusal("An acceptance is online or offline", param=acceptance.path("type"))
            for name in ("accepted_at", "online", "offline"):
                acceptance.anything(name)

    @property
    def given(self) -> bool:
        """Whether anything was said that needs a confirmation."""
        return self.off_session or self.mandate


def _confirmed(world: World, intent: Json, method: Json | None, confirmation: _Confirmation) -> Json:
    if method is None:
        raise wrong_state(
            "The payment intent has no payment method: give one to confirm it",
            "payment_intent_unexpected_state",
            payment_intent=intent,
        )
    if confirmation.off_session and method["customer"] is None:
        raise Refusal(
            "Only a payment method that is attached to a customer can be charged off session",
            param="payment_method",
            executed=True,
        )
    method = with_mandate(world, method, accepted=confirmation.mandate)
    return attempt(
        world, intent, method, off_session=confirmation.off_session, return_url=confirmation.return_url
    )


def _checked(
    world: World, name: str, customer: str | None, kinds: list[str], *, by: str | None = None
) -> Json:
    method = usable(world, name, "payment_method", by=by)
    if method["customer"] not in {None, customer}:
        raise Refusal(
            "The payment method belongs to a customer: give that customer with the payment intent",
            param="payment_method",
            executed=True,
        )
    if method["type"] not in kinds:
        raise Refusal(
            f"The payment intent takes {', '.join(kinds)}; payment_method_types leaves {method['type']} out",
            param="payment_method",
            executed=True,
        )
    return method


def _kinds(form: Form) -> list[str]:
    kinds = form.strings("payment_method_types")
    automatic = form.group("automatic_payment_methods")
    enabled = automatic.boolean("enabled") if automatic else None
    if automatic:
        automatic.choice("allow_redirects", ("always", "never"))
    if kinds and enabled:
        raise Refusal(
            "Give payment_method_types or automatic_payment_methods, not both", param="payment_method_types"
        )
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise Refusal(f"Unknown payment method type: {unknown[0]}", param="payment_method_types")
    return kinds or ["card", "us_bank_account"]


def _must_be_open(intent: Json, verb: str) -> None:
    if intent["status"] not in OPEN:
        raise _unexpected(intent, verb)


def _unexpected(intent: Json, verb: str) -> Refusal:
    return wrong_state(
        f"You cannot {verb} this payment intent: its status is {intent['status']}",
        "payment_intent_unexpected_state",
        payment_intent=intent,
    )
