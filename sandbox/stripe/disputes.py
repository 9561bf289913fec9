"""Disputes: a holder or a bank takes a payment back, and somebody wins in the end."""

from typing import Final

from sandbox.stripe.balance import DISPUTE_FEE, book
from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import outcome_of
from sandbox.stripe.refusals import wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

OVER: Final = ("won", "lost", "warning_closed")
_DUE_S: Final = 7 * 86_400
_EVIDENCE: Final = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy",
    "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation",
    "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def opened(
    world: World,
    charge: Json,
    *,
    reason: str | None = None,
    amount: int | None = None,
    whole: bool = False,
    inquiry: bool | None = None,
) -> Json:
    """A dispute of the charge, of all that was not refunded unless told otherwise. Raises ``Refusal``.

    A bank may take back the ``whole`` charge though a part of it was refunded: the agency is out of that.
    """
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise wrong_state("Only a successful charge without a dispute can be disputed", "charge_disputed")
    outcome = outcome_of(world.get("payment_method", charge["payment_method"]))
    asking = outcome.inquiry if inquiry is None else inquiry
    taken = charge["amount"] if whole else amount or charge["amount"] - charge["amount_refunded"]
    if not 0 < taken <= charge["amount"]:
        raise wrong_state(f"{taken} of the charge of {charge['amount']} cannot be disputed", "amount_invalid")
    card = charge["payment_method_details"]["type"] == "card"
    why = reason or outcome.dispute or ("fraudulent" if card else "debit_not_authorized")
    dispute = _new(world, charge, taken, asking=asking) | {"reason": why}
    world.save(dispute)
    world.save(charge | {"disputed": True})
    if not asking:
        _move(world, dispute, -taken, DISPUTE_FEE)
    world.emit("charge.dispute.created", dispute)
    if not asking:
        world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def decided(world: World, dispute: Json, *, won: bool) -> Json:
    """The bank decides; won, the money comes back. Raises ``Refusal`` when it has decided already.

    What was lost may be won later: the bank reverses what it decided.
    """
    if not (won and dispute["status"] == "lost"):
        _must_be_open(dispute)
    asking = dispute["status"].startswith("warning")
    dispute["status"] = "warning_closed" if asking else "won" if won else "lost"
    if won and not asking:
        _move(world, dispute, dispute["amount"], 0)
    world.save(dispute)
    if won or asking:
        world.save(world.get("charge", dispute["charge"]) | {"disputed": False})
    world.emit("charge.dispute.closed", dispute)
    if won and not asking:
        world.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(world: World, form: Form, dispute: str) -> Json:
    """``GET /v1/disputes/{dispute}``."""
    form.finish()
    return world.get("dispute", dispute)


def update(world: World, form: Form, dispute: str) -> Json:
    """``POST /v1/disputes/{dispute}``: metadata and evidence as text, submitted unless told otherwise."""
    found = world.get("dispute", dispute)
    evidence = form.group("evidence")
    given = (
        {name: evidence.text(name, longest=20_000) for name in _EVIDENCE if name in evidence}
        if evidence
        else {}
    )
    submit = form.boolean("submit")
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    _must_be_open(found)
    if given:
        found["evidence"] |= given
        found["evidence_details"]["has_evidence"] = True
        if submit is not False:
            found["evidence_details"]["submission_count"] += 1
            found["status"] = found["status"].replace("needs_response", "under_review")
    world.save(found)
    world.emit("charge.dispute.updated", found)
    return found


def close(world: World, form: Form, dispute: str) -> Json:
    """``POST /v1/disputes/{dispute}/close``: the agency gives in."""
    form.finish()
    return decided(world, world.get("dispute", dispute), won=False)


def listing(world: World, form: Form) -> Json:
    """``GET /v1/disputes``."""
    return listed(world, form, "dispute", "/v1/disputes", filters=("charge", "payment_intent"))


def _new(world: World, charge: Json, taken: int, *, asking: bool) -> Json:
    dispute_id = new_id("du")
    kind = charge["payment_method_details"]["type"]
    card = charge["payment_method_details"].get("card")
    dispute: Json = {
        "id": dispute_id,
        "object": "dispute",
        "amount": taken,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": world.created + _DUE_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": None,
        },
        "is_charge_refundable": asking,
        "livemode": False,
        "metadata": {},
        "network_reason_code": None,
        "payment_intent": charge["payment_intent"],
        "status": "warning_needs_response" if asking else "needs_response",
    }
    if card:
        case = {"brand": card["brand"], "case_type": "inquiry" if asking else "chargeback"}
        dispute["payment_method_details"] = {
            "card": case | {"network": card["brand"], "network_reason_code": "10.4"},
            "type": kind,
        }
    return dispute


def _must_be_open(dispute: Json) -> None:
    if dispute["status"] in OVER:
        raise wrong_state(f"The dispute is closed: {dispute['status']}", "dispute_unexpected_state")


def _move(world: World, dispute: Json, amount: int, fee: int) -> None:
    """Take the disputed amount from the balance, or bring it back."""
    transaction = book(world, "adjustment", dispute["id"], amount, fee, dispute["currency"])
    dispute["balance_transactions"].append(world.get("balance_transaction", transaction))
    world.save(dispute)
