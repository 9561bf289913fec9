"""Creditors: whose debts are placed. Each agency has exactly one default creditor."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from db.changes import Change, apply, unique
from db.keyset import Position, newest_first
from db.models import Creditor
from db.store import Store
from domain.errors import NotFound

_TAKEN = {"uq_creditor_agency_id_name": ("name", "another creditor has this name")}


class CreditorStore(Store):
    """The creditors of one agency."""

    async def add(self, values: Mapping[str, Any]) -> Creditor:
        """Add a creditor. ``Conflict`` (field ``name``) when the agency has one of that name."""
        creditor = Creditor(agency_id=self._agency_id, **values)
        self._session.add(creditor)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(creditor)
        return creditor

    async def get(self, creditor_id: UUID, *, lock: bool = False) -> Creditor:
        """One creditor. ``NotFound`` when the agency has no such creditor."""
        query = select(Creditor).where(Creditor.agency_id == self._agency_id, Creditor.id == creditor_id)
        if lock:
            query = query.with_for_update(key_share=True)
        creditor = await self._session.scalar(query)
        if creditor is None:
            raise NotFound("there is no such creditor")
        return creditor

    async def unknown(self, creditor_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the ids that are no creditor of the agency, in their order."""
        query = select(Creditor.id).where(
            Creditor.agency_id == self._agency_id, Creditor.id.in_(creditor_ids)
        )
        known = set(await self._session.scalars(query)) if creditor_ids else set()
        return [creditor_id for creditor_id in creditor_ids if creditor_id not in known]

    async def default(self) -> Creditor:
        """The creditor of placements that name none."""
        return (
            await self._session.scalars(
                select(Creditor).where(Creditor.agency_id == self._agency_id, Creditor.is_default)
            )
        ).one()

    async def by_name(self, name: str) -> Creditor | None:
        """The creditor with exactly this name."""
        return await self._session.scalar(
            select(Creditor).where(Creditor.agency_id == self._agency_id, Creditor.name == name)
        )

    async def page(self, *, position: Position | None, limit: int) -> Sequence[Creditor]:
        """Creditors, newest first, keyed by ``(id,)``."""
        query = select(Creditor).where(Creditor.agency_id == self._agency_id)
        return (await self._session.scalars(newest_first(query, (Creditor.id,), position, limit))).all()

    async def clear_default(self) -> None:
        """Leave the agency without a default creditor; its caller has the agency locked and names another."""
        await self._session.execute(
            update(Creditor)
            .where(Creditor.agency_id == self._agency_id, Creditor.is_default)
            .values(is_default=False)
        )

    async def change(self, creditor_id: UUID, values: Mapping[str, Any]) -> tuple[Creditor, Change]:
        """Write the values that differ. ``Conflict`` (field ``name``) when the name is taken."""
        creditor = await self.get(creditor_id, lock=True)
        with unique(_TAKEN):
            return creditor, await apply(self._session, creditor, values)
