"""Logins. Exempt from row-level security, so every query that a tenant may see names the agency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.changes import Change, apply, unique
from db.keyset import Position, newest_first
from db.models import Agency, AppUser, Collector
from db.statements import driver_statement
from domain.errors import NotFound

if TYPE_CHECKING:
    from db.readings import Readings

_ENDING = ("password_hash", "role", "active")
_TAKEN = {"uq_app_user_username": ("username", "this username is taken")}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user is at this moment: the truth that a token's claims are checked against.

    ``active`` is false too when the user's agency is not active. ``collector_id`` can be seen inside
    a transaction of the user's own agency only. Logins from before ``logins_valid_from`` are over.
    """

    user_id: UUID
    username: str
    role: str
    agency_id: UUID | None
    active: bool
    collector_id: UUID | None
    logins_valid_from: datetime | None


_STANDING = (
    select(
        AppUser.id,
        AppUser.username,
        AppUser.role,
        AppUser.agency_id,
        AppUser.active & func.coalesce(Agency.active, true()),
        Collector.id,
        AppUser.logins_valid_from,
    )
    .outerjoin(Agency, Agency.id == AppUser.agency_id)
    .outerjoin(Collector, (Collector.user_id == AppUser.id) & Collector.active)
    .where(AppUser.id == bindparam("user", type_=Uuid()))
)
"""The fields of ``Standing``, in their order."""

_STANDING_STATEMENT = driver_statement(_STANDING)


class StandingStore:
    """The standing of users, as every request asks for it."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def of(self, user_id: UUID) -> Standing | None:
        """What the user is now; None when there is no such user."""
        rows = await self._readings.rows(_STANDING_STATEMENT, {"user": user_id})
        return Standing(*rows[0]) if rows else None


class UserStore:
    """Users of all agencies and of the platform."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> AppUser:
        """Add a user. ``Conflict`` (field ``username``) when the name is taken, in any agency."""
        user = AppUser(**values)
        self._session.add(user)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(user)
        return user

    async def by_username(self, username: str, *, lock: bool = False) -> AppUser | None:
        """The user with this name, whatever the agency; locked against changes if asked."""
        query = select(AppUser).where(AppUser.username == username)
        if lock:
            query = query.with_for_update(key_share=True)
        return await self._session.scalar(query)

    async def hold(self, user_id: UUID) -> AppUser | None:
        """The user, who cannot be changed by others until the transaction ends."""
        return await self._session.scalar(
            select(AppUser).where(AppUser.id == user_id).with_for_update(read=True)
        )

    async def standing(self, user_id: UUID) -> Standing | None:
        """What the user is now; None when there is no such user."""
        row = (await self._session.execute(_STANDING, {"user": user_id})).one_or_none()
        return None if row is None else Standing(*row)

    async def member(self, agency_id: UUID | None, user_id: UUID, *, lock: bool = False) -> AppUser:
        """A user of one agency (None: of the platform). ``NotFound`` when there is none."""
        query = select(AppUser).where(AppUser.id == user_id, AppUser.agency_id == agency_id)
        if lock:
            query = query.with_for_update(key_share=True)
        user = await self._session.scalar(query)
        if user is None:
            raise NotFound("there is no such user")
        return user

    async def page(
        self, agency_id: UUID | None, *, position: Position | None, limit: int
    ) -> Sequence[AppUser]:
        """Users of one agency (None: of the platform), newest first, keyed by ``(id,)``."""
        query = select(AppUser).where(AppUser.agency_id == agency_id)
        return (await self._session.scalars(newest_first(query, (AppUser.id,), position, limit))).all()

    async def change(
        self, agency_id: UUID | None, user_id: UUID, values: Mapping[str, Any]
    ) -> tuple[AppUser, Change]:
        """Write the values that differ; a new password, role or standing ends earlier logins.

        ``NotFound`` when the agency has no such user.
        """
        user = await self.member(agency_id, user_id, lock=True)
        if any(name in values and values[name] != getattr(user, name) for name in _ENDING):
            user.logins_valid_from = datetime.now(UTC)
        return user, await apply(self._session, user, values)

    async def renew_hash(self, user_id: UUID, *, old: str, new: str) -> None:
        """Replace a password's hash by one of the same password, unless it changed meanwhile."""
        await self._session.execute(
            update(AppUser)
            .where(AppUser.id == user_id, AppUser.password_hash == old)
            .values(password_hash=new)
        )
