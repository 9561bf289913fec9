"""What lists are narrowed to, where that is more than a filter of one store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from db.account_lists import AccountFilter, AccountOrder
from db.breaks import BreakFilter


@dataclass(frozen=True, slots=True)
class AccountsWanted:
    """Accounts, and the order in which they are wanted."""

    filter: AccountFilter = field(default_factory=AccountFilter)
    order: AccountOrder = AccountOrder.NEWEST


@dataclass(frozen=True, slots=True)
class OnAccounts:
    """Payments, or plans: of one account, in some statuses; where said."""

    account_id: UUID | None = None
    statuses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BreaksWanted:
    """Breaks; ``owner``: a username, ``me``, or ``none``."""

    filter: BreakFilter = field(default_factory=BreakFilter)
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class OfAccount:
    """What hangs on one account."""

    account_id: UUID


@dataclass(frozen=True, slots=True)
class OfImport:
    """Problems of one import; ``severity``: of one kind only."""

    import_id: UUID
    severity: str | None = None
