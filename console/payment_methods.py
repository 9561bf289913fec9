"""The sandbox's ready-made payment methods, offered where no real money can be taken."""

from typing import NamedTuple

from fastapi import Request


class Ready(NamedTuple):
    """A payment method by Stripe's published name, and what it does (https://docs.stripe.com/testing)."""

    id: str
    does: str


CARDS = (
    Ready("pm_card_visa", "Visa that pays"),
    Ready("pm_card_mastercard", "Mastercard that pays"),
    Ready("pm_card_visa_chargeDeclined", "Visa that is declined"),
    Ready("pm_card_visa_chargeDeclinedInsufficientFunds", "Visa without funds"),
    Ready("pm_card_chargeDeclinedExpiredCard", "Card that has expired"),
    Ready("pm_card_authenticationRequired", "Card whose holder has to confirm"),
    Ready("pm_card_createDispute", "Card that pays, and is disputed afterwards"),
)
BANKS = (
    Ready("pm_usBankAccount_success", "Account that pays, after some seconds"),
    Ready("pm_usBankAccount_insufficientFunds", "Account without funds"),
    Ready("pm_usBankAccount_accountClosed", "Account that was closed"),
    Ready("pm_usBankAccount_dispute", "Account that pays, and disputes it afterwards"),
)


class Methods(NamedTuple):
    """What can be picked; nothing in production, where a method is known by its id alone."""

    cards: tuple[Ready, ...] = ()
    banks: tuple[Ready, ...] = ()


def sandbox_methods(request: Request) -> Methods:
    """What this installation offers."""
    return Methods() if request.app.state.is_production else Methods(CARDS, BANKS)
