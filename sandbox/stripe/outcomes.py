"""Stripe's published test cards and bank accounts: what each one does when it is charged.

By number and by the name of the ready-made payment method (https://docs.stripe.com/testing,
https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment#test-account-numbers).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ROUTING_NUMBER: Final = "110000000"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why an attempt fails: Stripe's error code, the issuer's reason where there is one, a message."""

    code: str
    reason: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test number does.

    ``authentication``: ``always`` asks the holder each time, ``unless_saved`` not once the method is attached
    to a customer. ``dispute`` is the reason of the dispute that follows a success. ``refund`` is how a refund
    ends. ``settles`` is whether a bank debit ever leaves ``processing``.
    """

    number: str
    kind: Literal["card", "us_bank_account"] = "card"
    brand: str = "visa"
    funding: str = "credit"
    decline: Decline | None = None
    authentication: Literal["no", "unless_saved", "always"] = "no"
    dispute: str | None = None
    inquiry: bool = False
    refund: Literal["succeeded", "pending", "failed"] = "succeeded"
    settles: bool = True


AUTHENTICATION_REQUIRED: Final = Decline(
    "authentication_required",
    "authentication_required",
    "The card was declined: its holder has to authenticate.",
)


def _declined(reason: str, why: str) -> Decline:
    return Decline("card_declined", reason, f"The card was declined: {why}.")


_FUNDS: Final = _declined("insufficient_funds", "insufficient funds")

_CARDS: Final[dict[str, Outcome]] = {
    "pm_card_visa": Outcome("4242424242424242"),
    "pm_card_visa_debit": Outcome("4000056655665556", funding="debit"),
    "pm_card_mastercard": Outcome("5555555555554444", brand="mastercard"),
    "pm_card_amex": Outcome("378282246310005", brand="amex"),
    "pm_card_discover": Outcome("6011111111111117", brand="discover"),
    "pm_card_visa_chargeDeclined": Outcome(
        "4000000000000002", decline=_declined("generic_decline", "the issuer gave no reason")
    ),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Outcome("4000000000009995", decline=_FUNDS),
    "pm_card_visa_chargeDeclinedLostCard": Outcome(
        "4000000000009987", decline=_declined("lost_card", "it was reported lost")
    ),
    "pm_card_visa_chargeDeclinedStolenCard": Outcome(
        "4000000000009979", decline=_declined("stolen_card", "it was reported stolen")
    ),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": Outcome(
        "4000000000006975", decline=_declined("card_velocity_exceeded", "its limit is reached")
    ),
    "pm_card_chargeDeclinedExpiredCard": Outcome(
        "4000000000000069", decline=Decline("expired_card", "expired_card", "The card has expired.")
    ),
    "pm_card_chargeDeclinedIncorrectCvc": Outcome(
        "4000000000000127", decline=Decline("incorrect_cvc", "incorrect_cvc", "The security code is wrong.")
    ),
    "pm_card_chargeDeclinedProcessingError": Outcome(
        "4000000000000119",
        decline=Decline(
            "processing_error", "processing_error", "The card could not be processed; try later."
        ),
    ),
    "pm_card_radarBlock": Outcome(
        "4100000000000019", decline=_declined("fraudulent", "it was blocked as risky")
    ),
    "pm_card_chargeCustomerFail": Outcome(
        "4000000000000341", decline=_declined("generic_decline", "the issuer gave no reason")
    ),
    "pm_card_authenticationRequired": Outcome("4000002760003184", authentication="always"),
    "pm_card_authenticationRequiredOnSetup": Outcome("4000002500003155", authentication="unless_saved"),
    "pm_card_threeDSecure2Required": Outcome("4000000000003220", authentication="always"),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Outcome(
        "4000008260003178", authentication="always", decline=_FUNDS
    ),
    "pm_card_createDispute": Outcome("4000000000000259", dispute="fraudulent"),
    "pm_card_createDisputeProductNotReceived": Outcome("4000000000002685", dispute="product_not_received"),
    "pm_card_createDisputeInquiry": Outcome("4000000000001976", dispute="fraudulent", inquiry=True),
    "pm_card_pendingRefund": Outcome("4000000000007726", refund="pending"),
    "pm_card_refundFail": Outcome("4000000000005126", refund="failed"),
}


def _bank(
    number: str, code: str | None = None, why: str = "", *, dispute: str | None = None, settles: bool = True
) -> Outcome:
    decline = Decline(code, None, f"The bank returned the debit: {why}.") if code else None
    return Outcome(
        number, "us_bank_account", brand="", funding="", decline=decline, dispute=dispute, settles=settles
    )


_BANKS: Final[dict[str, Outcome]] = {
    "pm_usBankAccount_success": _bank("000123456789"),
    "pm_usBankAccount_accountClosed": _bank("000111111113", "account_closed", "the account is closed"),
    "pm_usBankAccount_noAccount": _bank("000111111116", "no_account", "there is no such account"),
    "pm_usBankAccount_insufficientFunds": _bank("000222222227", "insufficient_funds", "insufficient funds"),
    "pm_usBankAccount_debitNotAuthorized": _bank(
        "000333333335", "debit_not_authorized", "its holder did not authorise it"
    ),
    "pm_usBankAccount_invalidCurrency": _bank(
        "000444444440", "invalid_currency", "it takes another currency"
    ),
    "pm_usBankAccount_weeklyLimitExceeded": _bank(
        "000777777771", "charge_exceeds_weekly_limit", "the account's weekly limit is reached"
    ),
    "pm_usBankAccount_dispute": _bank("000555555559", dispute="debit_not_authorized"),
    "pm_usBankAccount_processing": _bank("000000000009", settles=False),
}

_ALIASES: Final = {
    "pm_card_chargeDeclined": "pm_card_visa_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds": "pm_card_visa_chargeDeclinedInsufficientFunds",
}

READY_MADE: Final[Mapping[str, Outcome]] = {
    **_CARDS,
    **_BANKS,
    **{alias: _CARDS[name] for alias, name in _ALIASES.items()},
}
"""Test payment methods by name; each use of a name makes a payment method of its own."""

BY_NUMBER: Final[Mapping[str, Outcome]] = {outcome.number: outcome for outcome in READY_MADE.values()}
"""What a test number does, by the number."""
