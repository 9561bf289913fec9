"""Balance transactions: what each charge, refund and dispute does to the agency's balance at Stripe."""

from typing import Final

from sandbox.stripe.forms import Form
from sandbox.stripe.lists import listed
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

DISPUTE_FEE: Final = 1500
_CARD_PERMILLE: Final = 29
_CARD_FIXED: Final = 30
_BANK_PERMILLE: Final = 8
_BANK_MOST: Final = 500


def charge_fee(amount: int, kind: str) -> int:
    """Stripe's published US fee in cents: 2.9 % + 30 for cards, 0.8 % up to 500 for bank debits."""
    if kind == "card":
        return (amount * _CARD_PERMILLE + 500) // 1000 + _CARD_FIXED
    return min((amount * _BANK_PERMILLE + 500) // 1000, _BANK_MOST)


def book(world: World, kind: str, source: str, amount: int, fee: int, currency: str) -> str:
    """Write a balance transaction (amounts in the smallest unit, negative when taken) and give its id."""
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Fees",
            "type": "stripe_fee",
        }
    ]
    written = world.save(
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": world.created,
            "balance_type": "payments",
            "created": world.created,
            "currency": currency,
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": {"adjustment": "dispute", "payment": "charge"}.get(kind, kind),
            "source": source,
            "status": "available",
            "type": kind,
        }
    )
    return str(written["id"])


def retrieve(world: World, form: Form, transaction: str) -> Json:
    """``GET /v1/balance_transactions/{transaction}``."""
    form.finish()
    return world.get("balance_transaction", transaction)


def listing(world: World, form: Form) -> Json:
    """``GET /v1/balance_transactions``."""
    filters = ("source", "type", "currency")
    return listed(world, form, "balance_transaction", "/v1/balance_transactions", filters=filters)
