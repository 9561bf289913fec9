"""The chart of ledger accounts."""

from enum import StrEnum


class LedgerAccount(StrEnum):
    """Sides of a posting. ``receivable`` is kept per debtor account, the others for the house."""

    RECEIVABLE = "receivable"
    """What debtors owe: its debits less its credits are an account's balance."""

    CASH = "cash"
    """Money that has come in and is not yet passed on."""

    PLACEMENTS = "placements"
    """The counterpart of what creditors have placed with the agency."""
