"""What makes a move of an account legal."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from domain.errors import Conflict


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


class PromiseStatus(StrEnum):
    """What became of a promise to pay; ``cancelled``: by the next one, or because the account was closed."""

    OPEN = "open"
    KEPT = "kept"
    BROKEN = "broken"
    CANCELLED = "cancelled"


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

MOVES_BY_SYSTEM: Mapping[AccountStatus, tuple[AccountStatus, ...]] = MappingProxyType(
    {
        S.NEW: (S.ASSIGNED, S.DISPUTED, S.SETTLED, S.CLOSED),
        S.ASSIGNED: (S.DISPUTED, S.SETTLED, S.CLOSED),
        S.IN_CONTACT: (S.PAYMENT_PLAN, S.DISPUTED, S.SETTLED, S.CLOSED),
        S.NEGOTIATING: (S.PAYMENT_PLAN, S.DISPUTED, S.SETTLED, S.CLOSED),
        S.PAYMENT_PLAN: (S.NEGOTIATING, S.DISPUTED, S.SETTLED, S.CLOSED),
        S.DISPUTED: (S.IN_CONTACT, S.SETTLED, S.CLOSED),
        S.SETTLED: (S.IN_CONTACT, S.CLOSED),
        S.CLOSED: (S.IN_CONTACT,),
    }
)
"""What events bring about: a dispute arrived or was answered, a plan was broken, ended or goes on after a
dispute, the balance became zero, the account was recalled, a reversed payment left a balance behind, an
unworked account was assigned."""

PAID = "paid"
SETTLED_FOR_LESS = "settled_for_less"
RECALLED = "recalled"
PUTBACK = "putback"


class IllegalMove(Conflict):
    """The account cannot go from where it stands to where it was sent; says where it can go."""

    type = "illegal-move"
    title = "Illegal move"


def legal_moves(status: AccountStatus) -> tuple[AccountStatus, ...]:
    """The statuses a person may move an account to from ``status``, in the table's order."""
    return MOVES_BY_HAND[status]


def check_move(status: AccountStatus, to: AccountStatus) -> None:
    """``IllegalMove`` unless a person may move an account from ``status`` to ``to``."""
    if to not in MOVES_BY_HAND[status]:
        raise _illegal(status, to)


def check_system_move(status: AccountStatus, to: AccountStatus) -> None:
    """``IllegalMove`` unless an event can move an account from ``status`` to ``to``."""
    if to not in MOVES_BY_SYSTEM[status]:
        raise _illegal(status, to)


def check_open(status: AccountStatus, what: str) -> None:
    """``IllegalMove`` when ``what`` (in words) is asked of an account that is settled or closed."""
    if status not in OPEN_STATUSES:
        raise _refusal(status, f"{what} is not possible while the account is {status.value}")


def check_not_closed(status: AccountStatus, what: str) -> None:
    """``IllegalMove`` when ``what`` (in words) is asked of a closed account."""
    if status is S.CLOSED:
        raise _refusal(status, f"{what} is not possible: the account is closed")


def check_workable(status: AccountStatus, what: str) -> None:
    """``IllegalMove`` when ``what`` (in words) is asked of an account that nobody may work now."""
    if status not in WORKABLE_STATUSES:
        raise _refusal(status, f"{what} is not possible while the account is {status.value}")


def _illegal(status: AccountStatus, to: AccountStatus) -> IllegalMove:
    legal = ", ".join(legal_moves(status)) or "nowhere"
    return _refusal(
        status, f"the account is {status.value}; from there it can be moved to: {legal}", to=to.value
    )


def _refusal(status: AccountStatus, message: str, **details: str) -> IllegalMove:
    return IllegalMove(message, status_now=status.value, legal_moves=list(legal_moves(status)), **details)
