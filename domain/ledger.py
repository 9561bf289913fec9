"""The chart of ledger accounts, and on which of them a payment is posted."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class LedgerAccount(StrEnum):
    """Sides of a posting. ``receivable`` is kept per debtor account, the others for the house."""

    RECEIVABLE = "receivable"
    """What debtors owe: its debits less its credits are an account's balance."""

    CASH = "cash"
    """Money that has come in and is not yet passed on."""

    PLACEMENTS = "placements"
    """The counterpart of what creditors have placed with the agency."""

    CREDIT_BALANCES = "credit_balances"
    """What debtors have paid beyond their debts, owed back to them."""

    UNAPPLIED = "unapplied"
    """Money that came in for an account that takes none any more; nobody has decided yet whose it is."""

    WRITE_OFF = "write_off"
    """Debt that was forgiven, as a settlement does."""

    PROCESSOR_LOSSES = "processor_losses"
    """What the provider took back of a payment beyond what was left of it: refunded and disputed, too.
    And money that was written off because the provider, or the bank, never had it."""

    ADJUSTMENTS = "adjustments"
    """The counterpart of what was taken over from a partner's books, in a reconciliation with them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """How much of a payment is on the debt, owed back to the debtor, and unapplied; none is below zero.

    ``losses``: what has gone back of it beyond all that, or is made good again.
    """

    debt: Decimal = Decimal(0)
    credit: Decimal = Decimal(0)
    unapplied: Decimal = Decimal(0)
    losses: Decimal = Decimal(0)

    @property
    def held(self) -> Decimal:
        """All of it that is here."""
        return self.debt + self.credit + self.unapplied

    def by_account(self) -> list[tuple[LedgerAccount, Decimal]]:
        """The parts above zero, each with the ledger account that has it."""
        every = (
            (LedgerAccount.RECEIVABLE, self.debt),
            (LedgerAccount.CREDIT_BALANCES, self.credit),
            (LedgerAccount.UNAPPLIED, self.unapplied),
            (LedgerAccount.PROCESSOR_LOSSES, self.losses),
        )
        return [(account, amount) for account, amount in every if amount > 0]


def parts_of_payment(
    amount: Decimal, balance: Decimal, *, takes_payments: bool, losses: Decimal = Decimal(0)
) -> Parts:
    """Where money that has come in belongs: to the debt as far as it reaches, else back to the debtor.

    An account that takes no payments any more (recalled, closed) leaves all of it unapplied. Of a payment
    that has brought ``losses`` money that is here again makes those good before anything else.
    """
    good = min(amount, losses)
    rest = amount - good
    if not takes_payments:
        return Parts(unapplied=rest, losses=good)
    debt = min(rest, balance)
    return Parts(debt=debt, credit=rest - debt, losses=good)


def parts_given_back(left: Parts, amount: Decimal) -> Parts:
    """Which parts of what is ``left`` of a payment go back with ``amount``; beyond all of it is a loss.

    What was never owed goes first: a refund of an overpayment does not revive the debt.
    """
    unapplied = min(amount, left.unapplied)
    credit = min(amount - unapplied, left.credit)
    debt = min(amount - unapplied - credit, left.debt)
    return Parts(debt=debt, credit=credit, unapplied=unapplied, losses=amount - unapplied - credit - debt)
