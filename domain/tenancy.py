"""Who acts, and for which agency: the tenant every store call needs."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a user may do; the rights themselves are in ``services``."""

    PLATFORM_ADMIN = "platform_admin"
    AGENCY_ADMIN = "agency_admin"
    COLLECTOR = "collector"
    AUDITOR = "auditor"


USER = "user"
"""The kind of an actor who has logged in."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or process behind a change, as the audit record names it.

    ``name`` is a username, or the workflow or command for ``kind == "system"``.
    """

    kind: str
    name: str
    id: UUID | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One agency, seen by one actor. A transaction is opened for exactly one tenant."""

    agency_id: UUID
    actor: Actor = field(default_factory=lambda: Actor("system", "recoup"))

    @classmethod
    def system(cls, agency_id: UUID, name: str) -> "Tenant":
        """The tenant of a process that no person started by hand."""
        return cls(agency_id, Actor("system", name))
