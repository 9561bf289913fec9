"""An attempt to collect a payment intent, from its confirmation to its end."""

from typing import Final

from sandbox.stripe import charges
from sandbox.stripe.methods import MANDATE, SPENT, attached, outcome_of, public
from sandbox.stripe.outcomes import AUTHENTICATION_REQUIRED, Decline, Outcome
from sandbox.stripe.refusals import Refusal, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

_NOT_AUTHENTICATED: Final = Decline(
    "payment_intent_authentication_failure", None, "The card's holder did not authenticate the payment."
)


def attempt(world: World, intent: Json, method: Json, *, off_session: bool, return_url: str | None) -> Json:
    """Charge the method; the intent after it. Raises ``Refusal`` (402) for a decline, which stays written."""
    outcome = outcome_of(method)
    _spend(world, intent, method)
    intent = world.save(
        intent | {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    )
    if method["type"] == "us_bank_account":
        return _debit(world, intent, method, outcome)
    if _must_authenticate(outcome, method):
        if off_session:
            raise _declined(*_fail(world, intent, method, AUTHENTICATION_REQUIRED))
        return _ask_holder(world, intent, return_url)
    if outcome.decline:
        raise _declined(*_fail(world, intent, method, outcome.decline))
    return _succeed(world, intent, charges.begin(world, intent, method), outcome)


def authenticated(world: World, intent: Json, *, succeeds: bool) -> Json:
    """The holder answered the question of ``requires_action``. Raises ``Refusal`` when none was asked."""
    if intent["status"] != "requires_action":
        raise wrong_state(
            f"Nobody is asked to authenticate: the status is {intent['status']}",
            "payment_intent_unexpected_state",
        )
    method = world.get("payment_method", intent["payment_method"])
    outcome = outcome_of(method)
    intent = world.save(intent | {"next_action": None})
    decline = outcome.decline if succeeds else _NOT_AUTHENTICATED
    if decline:
        return _fail(world, intent, method, decline, charged=succeeds)[0]
    return _succeed(world, intent, charges.begin(world, intent, method), outcome)


def settled(world: World, intent: Json, *, decline: Decline | None = None) -> Json:
    """A bank debit under way ends: as its test account says, or with ``decline``."""
    if intent["status"] != "processing":
        return intent
    charge = world.get("charge", intent["latest_charge"])
    method = world.get("payment_method", intent["payment_method"])
    outcome = outcome_of(method)
    decline = decline or outcome.decline
    if decline is None:
        return _succeed(world, intent, charge, outcome)
    return _end(world, intent, method, charges.fail(world, charge, decline), decline)


def _spend(world: World, intent: Json, method: Json) -> None:
    """A method without a customer is used up by its first use."""
    if method["customer"] is None and not (intent["customer"] and intent["setup_future_usage"]):
        world.save(method | {SPENT: intent["id"]})


def _must_authenticate(outcome: Outcome, method: Json) -> bool:
    saved = method["customer"] is not None
    return outcome.authentication == "always" or (outcome.authentication == "unless_saved" and not saved)


def _debit(world: World, intent: Json, method: Json, outcome: Outcome) -> Json:
    charge = charges.begin(world, intent, method)
    done = world.save(intent | {"latest_charge": charge["id"], "processing": None, "status": "processing"})
    world.emit("charge.pending", charge)
    world.emit("payment_intent.processing", done)
    if outcome.settles:
        world.later(world.behaviour.bank_delay_s, "settle", intent["id"])
    return done


def _ask_holder(world: World, intent: Json, return_url: str | None) -> Json:
    url = f"{world.base_url}/sandbox/payment_intents/{intent['id']}/authenticate"
    action: Json = (
        {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
        if return_url
        else {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
        }
    )
    done = world.save(intent | {"next_action": action, "status": "requires_action"})
    world.emit("payment_intent.requires_action", done)
    return done


def _succeed(world: World, intent: Json, charge: Json, outcome: Outcome) -> Json:
    charge = charges.succeed(world, charge)
    done = world.save(
        intent
        | {
            "amount_received": intent["amount"],
            "latest_charge": charge["id"],
            "processing": None,
            "status": "succeeded",
        }
    )
    if intent["customer"] and intent["setup_future_usage"]:
        attached(world, world.get("payment_method", intent["payment_method"]), intent["customer"])
    world.emit("payment_intent.succeeded", done)
    if outcome.dispute:
        world.later(world.behaviour.dispute_delay_s, "dispute", charge["id"])
    return done


def _fail(
    world: World, intent: Json, method: Json, decline: Decline, *, charged: bool = True
) -> tuple[Json, Decline]:
    charge = charges.fail(world, charges.begin(world, intent, method), decline) if charged else None
    return _end(world, intent, method, charge, decline), decline


def _end(world: World, intent: Json, method: Json, charge: Json | None, decline: Decline) -> Json:
    error: Json = {
        "code": decline.code,
        "doc_url": f"https://docs.stripe.com/error-codes#{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": public(method),
        "type": "card_error" if method["type"] == "card" and charge else "invalid_request_error",
    }
    if charge:
        error["charge"] = charge["id"]
    if decline.reason:
        error["decline_code"] = decline.reason
    done = world.save(
        intent
        | {
            "last_payment_error": error,
            "latest_charge": charge["id"] if charge else intent["latest_charge"],
            "payment_method": None,
            "processing": None,
            "status": "requires_payment_method",
        }
    )
    world.emit("payment_intent.payment_failed", done)
    return done


def _declined(intent: Json, decline: Decline) -> Refusal:
    error = intent["last_payment_error"]
    more = {name: error[name] for name in ("charge", "decline_code") if name in error}
    return Refusal(
        decline.message,
        kind="card_error",
        code=decline.code,
        executed=True,
        payment_intent=intent,
        payment_method=error["payment_method"],
        **more,
    )


def with_mandate(world: World, method: Json, *, accepted: bool) -> Json:
    """The bank account with its holder's mandate. Raises ``Refusal`` when there is none."""
    if method["type"] != "us_bank_account" or (method[MANDATE] and not accepted):
        return method
    if not accepted:
        raise Refusal(
            "A bank debit needs its holder's mandate: give mandate_data with the customer's acceptance",
            param="mandate_data",
            executed=True,
        )
    return world.save(method | {MANDATE: method[MANDATE] or new_id("mandate")})
