"""What makes a move of an account legal."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class AccountStatus(StrEnum):
    """Where an account stands in its life."""

    NEW = "new"
    ASSIGNED = "assigned"
    IN_CONTACT = "in_contact"
    NEGOTIATING = "negotiating"
    PAYMENT_PLAN = "payment_plan"
    SETTLED = "settled"
    DISPUTED = "disputed"
    CLOSED = "closed"


S = AccountStatus

OPEN_STATUSES = frozenset(S) - {S.SETTLED, S.CLOSED}
"""Statuses in which the account is still worked; disputed counts, for its debt still stands."""

WORKABLE_STATUSES = OPEN_STATUSES - {S.DISPUTED}
"""Statuses in which a collector may be sent to the account: what the worklist queues."""

FOLLOW_UP_DAYS = 30
"""An open account on which nothing has happened for this many days comes back to people's attention."""

MOVES_BY_HAND: Mapping[AccountStatus, tuple[AccountStatus, ...]] = MappingProxyType(
    {
        S.NEW: (S.ASSIGNED, S.CLOSED),
        S.ASSIGNED: (S.IN_CONTACT, S.DISPUTED, S.CLOSED),
        S.IN_CONTACT: (S.NEGOTIATING, S.DISPUTED, S.CLOSED),
        S.NEGOTIATING: (S.PAYMENT_PLAN, S.SETTLED, S.DISPUTED, S.CLOSED),
        S.PAYMENT_PLAN: (S.SETTLED, S.DISPUTED, S.CLOSED),
        S.DISPUTED: (S.IN_CONTACT, S.CLOSED),
        S.SETTLED: (S.CLOSED,),
        S.CLOSED: (),
    }
)


def legal_moves(status: AccountStatus) -> tuple[AccountStatus, ...]:
    """The statuses a person may move an account to from ``status``, in the table's order."""
    return MOVES_BY_HAND[status]
