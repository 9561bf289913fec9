"""Charges: one attempt to take money each."""

from sandbox.stripe.balance import book, charge_fee
from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import MANDATE
from sandbox.stripe.outcomes import Decline
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id


def begin(world: World, intent: Json, method: Json) -> Json:
    """A pending charge of the intent's amount; its fate is told by ``succeed`` or ``fail``."""
    card = method["type"] == "card"
    charge_id = new_id("ch" if card else "py")
    return world.save(
        {
            "id": charge_id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": None,
            "billing_details": method["billing_details"],
            "calculated_statement_descriptor": "RECOUP SANDBOX",
            "captured": False,
            "created": world.created,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "fraud_details": {},
            "livemode": False,
            "metadata": intent["metadata"],
            "on_behalf_of": None,
            "outcome": None,
            "paid": False,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": _details(method, intent["amount"]),
            "presentment_details": None,
            "radar_options": {},
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": f"{world.base_url}/sandbox/receipts/{charge_id}",
            "refunded": False,
            "review": None,
            "shipping": None,
            "source": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
            "status": "pending",
            "transfer_data": None,
            "transfer_group": None,
        }
    )


def succeed(world: World, charge: Json) -> Json:
    """The money was taken."""
    kind = charge["payment_method_details"]["type"]
    fee = charge_fee(charge["amount"], kind)
    transaction = book(
        world,
        "charge" if kind == "card" else "payment",
        charge["id"],
        charge["amount"],
        fee,
        charge["currency"],
    )
    done = charge | {
        "amount_captured": charge["amount"],
        "balance_transaction": transaction,
        "captured": True,
        "outcome": _outcome("authorized", "approved_by_network", None, "Payment complete."),
        "paid": True,
        "status": "succeeded",
    }
    world.save(done)
    world.emit("charge.succeeded", done)
    return done


def fail(world: World, charge: Json, decline: Decline) -> Json:
    """The issuer or the bank refused."""
    done = charge | {
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": _outcome(
            "issuer_declined", "declined_by_network", decline.reason or decline.code, decline.message
        ),
        "status": "failed",
    }
    world.save(done)
    world.emit("charge.failed", done)
    return done


def retrieve(world: World, form: Form, charge: str) -> Json:
    """``GET /v1/charges/{charge}``."""
    form.finish()
    return world.get("charge", charge)


def update(world: World, form: Form, charge: str) -> Json:
    """``POST /v1/charges/{charge}``: metadata and description."""
    found = world.get("charge", charge)
    if "description" in form:
        found["description"] = form.text("description")
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    world.save(found)
    world.emit("charge.updated", found)
    return found


def listing(world: World, form: Form) -> Json:
    """``GET /v1/charges``."""
    return listed(world, form, "charge", "/v1/charges", filters=("customer", "payment_intent"))


def _outcome(kind: str, network: str, reason: str | None, message: str) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 12,
        "rule": None,
        "seller_message": message,
        "type": kind,
    }


def _details(method: Json, amount: int) -> Json:
    kind = method["type"]
    if kind == "us_bank_account":
        names = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        bank = {name: method[kind][name] for name in names}
        bank |= {"mandate": method[MANDATE], "payment_reference": None, "expected_debit_date": None}
        return {"type": kind, kind: bank}
    shown = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    card = {name: method[kind][name] for name in shown}
    card |= {
        "amount_authorized": amount,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": method[kind]["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }
    return {"type": kind, kind: card}
