"""Collectors: the people accounts are assigned to."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from db.changes import Change, apply, unique
from db.keyset import Position, newest_first
from db.models import Collector
from db.store import Store
from domain.errors import NotFound

_TAKEN = {"uq_collector_user_id": ("user_id", "this user is a collector already")}


class CollectorStore(Store):
    """The collectors of one agency."""

    async def add(self, values: Mapping[str, Any]) -> Collector:
        """Add a collector for a user. ``Conflict`` (field ``user_id``) when the user has one."""
        collector = Collector(agency_id=self._agency_id, **values)
        self._session.add(collector)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(collector)
        return collector

    async def get(self, collector_id: UUID, *, lock: bool = False) -> Collector:
        """One collector. ``NotFound`` when the agency has no such collector."""
        query = select(Collector).where(Collector.agency_id == self._agency_id, Collector.id == collector_id)
        if lock:
            query = query.with_for_update(key_share=True)
        collector = await self._session.scalar(query)
        if collector is None:
            raise NotFound("there is no such collector")
        return collector

    async def of_user(self, user_id: UUID) -> Collector | None:
        """The collector that a user is."""
        return await self._session.scalar(
            select(Collector).where(Collector.agency_id == self._agency_id, Collector.user_id == user_id)
        )

    async def page(self, *, position: Position | None, limit: int) -> Sequence[Collector]:
        """Collectors, newest first, keyed by ``(id,)``."""
        query = select(Collector).where(Collector.agency_id == self._agency_id)
        return (await self._session.scalars(newest_first(query, (Collector.id,), position, limit))).all()

    async def change(self, collector_id: UUID, values: Mapping[str, Any]) -> tuple[Collector, Change]:
        """Write the values that differ. ``NotFound`` when the agency has no such collector."""
        collector = await self.get(collector_id, lock=True)
        return collector, await apply(self._session, collector, values)
