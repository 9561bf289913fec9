"""Agencies: the tenants. Exempt from row-level security, so callers say whose they may see."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.changes import Change, apply, unique
from db.keyset import Position, newest_first
from db.models import Agency
from db.rows import columns_of, in_session
from db.store import rows
from domain.errors import NotFound

_TAKEN = {"uq_agency_slug": ("slug", "another agency has this slug")}


_ONE = f"SELECT {', '.join(columns_of(Agency))} FROM agency WHERE id = %(agency)s".encode()


class AgencyStore:
    """The agencies of this installation."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> Agency:
        """Add an agency. ``Conflict`` (field ``slug``) when the slug is taken."""
        agency = Agency(**values)
        self._session.add(agency)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(agency)
        return agency

    async def get(self, agency_id: UUID, *, lock: bool = False) -> Agency:
        """One agency, its row locked against other changes if asked. ``NotFound`` when there is none."""
        statement = _ONE + b" FOR NO KEY UPDATE" if lock else _ONE
        found = await rows(self._session, statement, {"agency": agency_id})
        if not found:
            raise NotFound("there is no such agency")
        return in_session(self._session, Agency, found[0])

    async def find(self, reference: str) -> Agency | None:
        """The agency with this id or slug."""
        try:
            condition = Agency.id == UUID(reference)
        except ValueError:
            condition = Agency.slug == reference
        return await self._session.scalar(select(Agency).where(condition))

    async def page(
        self, *, position: Position | None, limit: int, only: UUID | None = None
    ) -> Sequence[Agency]:
        """Agencies, newest first, keyed by ``(created_at, id)``; ``only`` restricts to one."""
        query = newest_first(select(Agency), (Agency.created_at, Agency.id), position, limit)
        if only is not None:
            query = query.where(Agency.id == only)
        return (await self._session.scalars(query)).all()

    async def active(self) -> Sequence[Agency]:
        """Every active agency, by slug."""
        query = select(Agency).where(Agency.active).order_by(Agency.slug)
        return (await self._session.scalars(query)).all()

    async def every(self) -> Sequence[Agency]:
        """Every agency, the inactive too, by slug."""
        return (await self._session.scalars(select(Agency).order_by(Agency.slug))).all()

    async def change(self, agency_id: UUID, values: Mapping[str, Any]) -> tuple[Agency, Change]:
        """Write the values that differ. ``NotFound`` when there is no such agency."""
        agency = await self.get(agency_id, lock=True)
        return agency, await apply(self._session, agency, values)
