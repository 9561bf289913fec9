"""Refunds: money given back, in parts or whole, never more than was taken."""

from typing import Final

from sandbox.stripe.balance import book
from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import outcome_of
from sandbox.stripe.refusals import Refusal, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def create(world: World, form: Form) -> Json:
    """``POST /v1/refunds`` of a charge or a payment intent; without an amount all that is left."""
    charge_id, intent_id = form.text("charge"), form.text("payment_intent")
    amount = form.integer("amount", least=1)
    reason = form.choice("reason", REASONS)
    metadata = form.metadata() or {}
    form.finish()
    if (charge_id is None) == (intent_id is None):
        raise Refusal("Give either charge or payment_intent", code="parameter_missing", param="charge")
    charge = _charge(world, charge_id, intent_id)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise wrong_state("The charge is refunded already", "charge_already_refunded", param="charge")
    if charge["disputed"]:
        raise wrong_state(
            "The charge is disputed: its money went back already", "charge_disputed", param="charge"
        )
    if amount is not None and amount > left:
        raise Refusal(
            f"The refund of {amount} is greater than the {left} left of the charge",
            param="amount",
            executed=True,
        )
    return _made(world, charge, amount or left, reason, metadata)


def retrieve(world: World, form: Form, refund: str) -> Json:
    """``GET /v1/refunds/{refund}``."""
    form.finish()
    return world.get("refund", refund)


def update(world: World, form: Form, refund: str) -> Json:
    """``POST /v1/refunds/{refund}``: metadata."""
    found = world.get("refund", refund)
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    world.save(found)
    _tell(world, found, "refund.updated", "charge.refund.updated")
    return found


def listing(world: World, form: Form) -> Json:
    """``GET /v1/refunds``."""
    return listed(world, form, "refund", "/v1/refunds", filters=("charge", "payment_intent"))


def finished(world: World, refund: Json, *, succeeds: bool) -> Json:
    """A refund reaches its end; one that fails gives its amount back to the charge, also after a success."""
    if refund["status"] not in {"pending", "succeeded"} or (succeeds and refund["status"] == "succeeded"):
        return refund
    if succeeds:
        done = world.save(refund | {"pending_reason": None, "status": "succeeded"})
        _tell(world, done, "refund.updated", "charge.refund.updated")
        return done
    charge = world.get("charge", refund["charge"])
    left = charge["amount_refunded"] - refund["amount"]
    world.save(charge | {"amount_refunded": left, "refunded": False})
    transaction = book(world, "refund_failure", refund["id"], refund["amount"], 0, refund["currency"])
    done = world.save(
        refund
        | {
            "failure_balance_transaction": transaction,
            "failure_reason": "expired_or_canceled_card" if _by_card(charge) else "declined",
            "pending_reason": None,
            "status": "failed",
        }
    )
    _tell(world, done, "refund.failed", "refund.updated", "charge.refund.updated")
    return done


def _charge(world: World, charge_id: str | None, intent_id: str | None) -> Json:
    if charge_id is None:
        intent = world.named("payment_intent", intent_id, "payment_intent") or {}
        if intent["status"] != "succeeded":
            raise wrong_state(
                f"The payment intent has no successful charge to refund: its status is {intent['status']}",
                "payment_intent_unexpected_state",
                param="payment_intent",
            )
        charge_id = intent["latest_charge"]
    charge = world.named("charge", charge_id, "charge") or {}
    if charge["status"] != "succeeded":
        raise wrong_state(
            f"The charge is {charge['status']}: nothing to refund", "charge_not_refundable", param="charge"
        )
    return charge


def _made(world: World, charge: Json, amount: int, reason: str | None, metadata: dict[str, str]) -> Json:
    card = _by_card(charge)
    fate = outcome_of(world.get("payment_method", charge["payment_method"])).refund
    pending = fate == "pending" or not card
    refunded = charge["amount_refunded"] + amount
    charge = world.save(charge | {"amount_refunded": refunded, "refunded": refunded == charge["amount"]})
    refund_id = new_id("re" if card else "pyr")
    kind = "card" if card else "us_bank_transfer"
    refund = world.save(
        {
            "id": refund_id,
            "object": "refund",
            "amount": amount,
            "balance_transaction": book(
                world, "refund" if card else "payment_refund", refund_id, -amount, 0, charge["currency"]
            ),
            "charge": charge["id"],
            "created": world.created,
            "currency": charge["currency"],
            "customer": charge["customer"],
            "destination_details": {kind: {}, "type": kind},
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "pending_reason": "processing" if pending else None,
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending" if pending else "succeeded",
            "transfer_reversal": None,
        }
    )
    _tell(world, refund, "refund.created")
    world.emit("charge.refunded", charge, {"amount_refunded": refunded - amount})
    if pending or fate == "failed":
        world.later(
            world.behaviour.refund_delay_s,
            "refund_fails" if fate == "failed" else "refund_succeeds",
            refund_id,
        )
    return refund


def _by_card(charge: Json) -> bool:
    return bool(charge["payment_method_details"]["type"] == "card")


def _tell(world: World, refund: Json, *events: str) -> None:
    for event in events:
        world.emit(event, refund)
