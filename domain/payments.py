"""What a payment is, which accounts take one, and how its status follows from what became of the money."""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.errors import Conflict, Invalid
from domain.holds import HoldKind


class PaymentMethod(StrEnum):
    """How money comes in."""

    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    CHECK = "check"
    CASH = "cash"


MOST_DAYS_BACK = 366
"""How long ago a check or cash may have come in, or a debit or plan been agreed to, that is entered now."""

BY_PROVIDER = frozenset({PaymentMethod.CARD, PaymentMethod.BANK_TRANSFER})
"""Taken by Stripe; the others are recorded by whoever was given them."""


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    """The bank has it; debits take days."""
    REQUIRES_ACTION = "requires_action"
    """The debtor must do something: pay on the page of a link, or answer their bank."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    """The payer disputes it at the bank, which has taken it back or holds it."""


P = PaymentStatus

UNFINISHED = frozenset({P.PENDING, P.PROCESSING, P.REQUIRES_ACTION})
"""Nobody knows yet whether money comes."""

TAKEN = frozenset({P.SUCCEEDED, P.PARTIALLY_REFUNDED, P.REFUNDED, P.DISPUTED})
"""Money came in, and is on the ledger."""

NOT_ATTEMPTED = "not_attempted"
NO_LONGER_TAKEN = "no_longer_taken"
CANCELLED = "cancelled"
"""Why a payment failed whose request somebody here took back, as a code."""

NEVER_ASKED = frozenset({NOT_ATTEMPTED, NO_LONGER_TAKEN})
"""Why a payment failed that the provider was never asked for, as codes: it could not be for too long, or it
was not to be any more."""

LINK_EXPIRED = "link_expired"
"""Why a payment failed whose page is closed and nobody has paid on, as a code."""

DISPUTE_WON = frozenset({"won", "warning_closed", "prevented"})
"""What Stripe says last of a dispute that took nothing; what comes after it is older."""

DISPUTE_LOST = "lost"
"""What Stripe says last of one that did, unless the bank reverses it: then it was won."""

FORBIDS_PAYMENTS = frozenset({HoldKind.BANKRUPTCY, HoldKind.DECEASED, HoldKind.CHARGEBACK})
"""Holds under which nobody asks for money: the stay of a bankruptcy (11 U.S.C. 362), an estate that nobody
represents yet, a bank that has just taken a payment back. Under the others a debtor may pay, if they want."""

WITHOUT_CENTS = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF"),
        *("XOF", "XPF", "BHD", "JOD", "KWD", "OMR", "TND"),
    }
)
"""Currencies whose smallest unit is no hundredth (https://docs.stripe.com/currencies#zero-decimal and
#three-decimal): amounts here have two decimals, so that Stripe is never asked for any of these."""

_OF_AN_INTENT = {
    "requires_payment_method": P.FAILED,
    "requires_confirmation": P.PENDING,
    "requires_action": P.REQUIRES_ACTION,
    "requires_capture": P.PROCESSING,
    "processing": P.PROCESSING,
    "succeeded": P.SUCCEEDED,
    "canceled": P.FAILED,
}


class PaymentRefused(Conflict):
    """The account takes no payment now; says why."""

    type = "payment-refused"
    title = "Payment refused"


def check_takes_payments(status: AccountStatus, holds: Iterable[str]) -> None:
    """``PaymentRefused`` where a payment must not be asked for: by status, by dispute, by hold.

    A disputed debt takes none, by policy; money that comes for it all the same is posted
    (``domain.ledger.parts_of_payment``).
    """
    if status is AccountStatus.DISPUTED:
        raise PaymentRefused(
            "the debt is disputed; it takes no payments until the dispute is answered",
            status_now=status.value,
        )
    if status not in OPEN_STATUSES:
        raise PaymentRefused(f"the account is {status.value}; it takes no payments", status_now=status.value)
    if forbidding := sorted(FORBIDS_PAYMENTS.intersection(holds)):
        raise PaymentRefused(
            f"a hold is in force ({', '.join(forbidding)}); the account takes no payments", holds=forbidding
        )


def check_currency(currency: str) -> None:
    """``Invalid`` for a currency in which the provider is not asked for money."""
    if currency.upper() in WITHOUT_CENTS:
        raise Invalid(
            f"cards and bank debits in {currency.upper()} are not supported: it has no cents",
            field="currency",
            currency=currency.upper(),
        )


def check_amount(amount: Decimal, balance: Decimal, under_way: Decimal, *, credit_taken: bool) -> None:
    """``PaymentRefused`` for more than is left of the balance, what is ``under_way`` taken off; unless the
    agency takes the rest as a credit.
    """
    left = max(balance - under_way, Decimal(0))
    if amount <= left or credit_taken:
        return
    of_which = f", of which {under_way} are under way" if under_way else ""
    remedy = f"ask for {left} at most" if left else "wait for what is under way"
    raise PaymentRefused(
        f"the payment is more than is left of the balance of {balance}{of_which}; {remedy}",
        balance=format(balance, "f"),
        under_way=format(under_way, "f"),
        left=format(left, "f"),
    )


def status_of_intent(intent_status: str, *, attempted: bool) -> PaymentStatus:
    """The status of a payment whose Stripe intent stands so; ``attempted``: it was confirmed before.

    An intent that never was confirmed waits for a payment method as well as one that was declined.
    """
    if intent_status == "requires_payment_method" and not attempted:
        return P.PENDING
    return _OF_AN_INTENT[intent_status]


def status_of_money(amount: Decimal, refunded: Decimal, *, charged_back: bool) -> PaymentStatus:
    """The status of a payment that is on the ledger."""
    if charged_back:
        return P.DISPUTED
    if refunded >= amount:
        return P.REFUNDED
    return P.PARTIALLY_REFUNDED if refunded else P.SUCCEEDED
