"""The timeline of an account: every event, append-only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, tuple_

from db.models import TimelineEvent
from db.store import Store


class TimelineStore(Store):
    """Timeline events of one agency's accounts."""

    async def add(
        self,
        account_id: UUID,
        kind: str,
        description: str,
        *,
        old: str | None = None,
        new: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event by the tenant's actor, at the transaction's time."""
        await self._session.execute(
            insert(TimelineEvent).values(
                agency_id=self._agency_id,
                account_id=account_id,
                kind=kind,
                description=description,
                actor=self._tenant.actor.name,
                old=old,
                new=new,
                details=dict(details) if details else None,
            )
        )

    async def page(
        self, account_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[TimelineEvent]:
        """Events newest first, those before the ``(at, id)`` of a cursor where one is given."""
        query = select(TimelineEvent).where(TimelineEvent.account_id == account_id)
        if before is not None:
            query = query.where(tuple_(TimelineEvent.at, TimelineEvent.id) < before)
        query = query.order_by(TimelineEvent.at.desc(), TimelineEvent.id.desc()).limit(limit)
        return (await self._session.scalars(query)).all()
