"""Who asks, and what their role lets them do: one table of roles and rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from types import MappingProxyType
from uuid import UUID

from domain.errors import Forbidden, Malformed
from domain.tenancy import USER, Actor, Role, Tenant

AGENCY_HEADER = "X-Agency"

PLATFORM_AGENCY = UUID(int=0)
"""Stands for "no agency" where a tenant is needed: idempotency keys of what the platform itself does.

No agency has this id, so that such a transaction sees no agency's rows."""


NOBODY = UUID(int=0)
"""No collector has this id."""


class Right(StrEnum):
    """Something a role may or may not do."""

    MANAGE_AGENCIES = auto()
    READ_SETTINGS = auto()
    MANAGE_SETTINGS = auto()
    READ_ACCOUNTS = auto()
    CREATE_ACCOUNTS = auto()
    WORK_ACCOUNTS = auto()
    MANAGE_ACCOUNTS = auto()
    READ_DEBTORS = auto()
    MANAGE_DEBTORS = auto()
    CONTACT_DEBTORS = auto()
    READ_PAYMENTS = auto()
    TAKE_PAYMENTS = auto()
    REFUND_PAYMENTS = auto()
    READ_IMPORTS = auto()
    RUN_IMPORTS = auto()
    READ_SCORING = auto()
    RUN_SCORING = auto()
    READ_ASSIGNMENTS = auto()
    RUN_ASSIGNMENTS = auto()
    READ_RECONCILIATIONS = auto()
    RUN_RECONCILIATIONS = auto()
    RESOLVE_BREAKS = auto()
    EXPORT_LISTS = auto()
    READ_SCHEDULES = auto()
    MANAGE_SCHEDULES = auto()
    READ_ANALYTICS = auto()
    READ_OWN_ANALYTICS = auto()
    REFRESH_ANALYTICS = auto()
    DECODE_PAYLOADS = auto()
    ENCODE_PAYLOADS = auto()


_READ_EVERYTHING = frozenset(
    {
        Right.READ_SETTINGS,
        Right.READ_ACCOUNTS,
        Right.READ_DEBTORS,
        Right.READ_PAYMENTS,
        Right.READ_IMPORTS,
        Right.READ_SCORING,
        Right.READ_ASSIGNMENTS,
        Right.READ_RECONCILIATIONS,
        Right.EXPORT_LISTS,
        Right.READ_SCHEDULES,
        Right.READ_ANALYTICS,
        Right.READ_OWN_ANALYTICS,
    }
)
_RUN_AN_AGENCY = _READ_EVERYTHING | {
    Right.MANAGE_SETTINGS,
    Right.CREATE_ACCOUNTS,
    Right.WORK_ACCOUNTS,
    Right.MANAGE_ACCOUNTS,
    Right.MANAGE_DEBTORS,
    Right.CONTACT_DEBTORS,
    Right.TAKE_PAYMENTS,
    Right.REFUND_PAYMENTS,
    Right.RUN_IMPORTS,
    Right.RUN_SCORING,
    Right.RUN_ASSIGNMENTS,
    Right.RUN_RECONCILIATIONS,
    Right.RESOLVE_BREAKS,
    Right.MANAGE_SCHEDULES,
    Right.REFRESH_ANALYTICS,
}

RIGHTS: Mapping[Role, frozenset[Right]] = MappingProxyType(
    {
        # What Temporal keeps is of all agencies at once.
        Role.PLATFORM_ADMIN: _RUN_AN_AGENCY
        | {Right.MANAGE_AGENCIES, Right.DECODE_PAYLOADS, Right.ENCODE_PAYLOADS},
        Role.AGENCY_ADMIN: _RUN_AN_AGENCY,
        Role.COLLECTOR: frozenset(
            {
                Right.READ_ACCOUNTS,
                Right.WORK_ACCOUNTS,
                Right.READ_DEBTORS,
                Right.CONTACT_DEBTORS,
                Right.READ_PAYMENTS,
                Right.TAKE_PAYMENTS,
                Right.EXPORT_LISTS,
                Right.READ_OWN_ANALYTICS,
            }
        ),
        Role.AUDITOR: _READ_EVERYTHING,
    }
)
"""What each role may do. A collector's rights reach their own assigned accounts only."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A user who is logged in, for the length of one request.

    ``agency_id`` is the user's agency, or the one that a platform administrator picked for this
    request. ``collector_id`` is set when the user is a collector of that agency. ``kind`` is ``user``,
    or ``operator`` for whoever runs the command line on the server and is no user.
    """

    user_id: UUID
    username: str
    role: Role
    agency_id: UUID | None = None
    collector_id: UUID | None = None
    ip: str | None = None
    kind: str = USER

    @classmethod
    def operator(cls, name: str, agency_id: UUID | None = None) -> "Principal":
        """Whoever runs the command line on the server: may do what a platform administrator may."""
        return cls(PLATFORM_AGENCY, name, Role.PLATFORM_ADMIN, agency_id, kind="operator")

    @property
    def own_agency_id(self) -> UUID | None:
        """The agency that the user belongs to; None for the platform's own users."""
        return None if self.role is Role.PLATFORM_ADMIN else self.agency_id

    @property
    def sees_only(self) -> UUID | None:
        """The collector whose accounts alone the user sees; None for who sees all of an agency's.

        Of a collector who is none of the agency's, it is nobody.
        """
        return (self.collector_id or NOBODY) if self.role is Role.COLLECTOR else None

    @property
    def actor(self) -> Actor:
        """The user as audit records name them."""
        return Actor(self.kind, self.username, self.user_id if self.kind == USER else None, self.ip)

    @property
    def tenant(self) -> Tenant:
        """The agency that this request is about. ``Malformed`` when none was picked."""
        if self.agency_id is None:
            raise Malformed(
                f"a platform administrator picks an agency with the header {AGENCY_HEADER} (its id or slug)",
                header=AGENCY_HEADER,
            )
        return Tenant(self.agency_id, self.actor)

    def may(self, right: Right) -> bool:
        """Whether the role of this user has ``right``."""
        return right in RIGHTS[self.role]


def require(principal: Principal, right: Right) -> None:
    """``Forbidden`` unless the principal's role has ``right``."""
    if not principal.may(right):
        raise Forbidden(f"the role {principal.role} may not do this", role=principal.role, right=right)
