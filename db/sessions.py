"""Sessions of the console: a login family whose one token nobody was ever given. Only reads are here."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select

from db.models import Agency, AppUser, Collector, RefreshToken
from db.statements import driver_statement

if TYPE_CHECKING:
    from db.readings import Readings


@dataclass(frozen=True, slots=True)
class Visit:
    """Who a session is of, as it stands at this moment, and the agency that they look at.

    ``agency_*`` is the user's agency, or for the platform's users the one they picked; None without any.
    ``collector_id`` is seen for collectors of that agency only.
    """

    user_id: UUID
    username: str
    full_name: str
    role: str
    own_agency_id: UUID | None
    active: bool
    logins_valid_from: datetime | None
    collector_id: UUID | None
    agency_id: UUID | None
    agency_name: str | None
    time_zone: str | None
    currency: str | None
    agency_active: bool | None


_VISIT = (
    select(
        AppUser.id,
        AppUser.username,
        AppUser.full_name,
        AppUser.role,
        AppUser.agency_id,
        AppUser.active,
        AppUser.logins_valid_from,
        Collector.id,
        Agency.id,
        Agency.name,
        Agency.time_zone,
        Agency.currency,
        Agency.active,
    )
    .join(
        RefreshToken,
        (RefreshToken.user_id == AppUser.id)
        & (RefreshToken.family_id == bindparam("session", type_=Uuid()))
        & RefreshToken.revoked_at.is_(None)
        & (RefreshToken.expires_at > func.now()),
    )
    .outerjoin(Agency, Agency.id == func.coalesce(AppUser.agency_id, bindparam("picked", type_=Uuid())))
    .outerjoin(Collector, (Collector.user_id == AppUser.id) & Collector.active)
    .where(AppUser.id == bindparam("user", type_=Uuid()))
)
"""The fields of ``Visit``, in their order."""

_STATEMENT = driver_statement(_VISIT)


class SessionReadings:
    """Sessions, as every page asks for them."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def visit(self, session_id: UUID, user_id: UUID, picked: UUID | None) -> Visit | None:
        """Whose session this is; None when it was ended or has run out."""
        values = {"session": session_id, "user": user_id, "picked": picked}
        rows = await self._readings.rows(_STATEMENT, values)
        return Visit(*rows[0]) if rows else None
