"""The timeline of an account: every event, append-only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from db.keyset import Position, newest_first
from db.models import Account, TimelineEvent
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
    ) -> TimelineEvent:
        """Add an event by the tenant's actor, at the transaction's time."""
        values = {
            "agency_id": self._agency_id,
            "account_id": account_id,
            "kind": kind,
            "description": description,
            "actor": self._tenant.actor.name,
            "old": old,
            "new": new,
        }
        stored = {**values, "details": Jsonb(details) if details else None}
        [(event_id, at)] = await self._fetch(_ADD, stored)
        return TimelineEvent(**values, id=event_id, at=at, details=dict(details) if details else None)

    async def add_to_accounts_of(
        self, debtor_id: UUID, kind: str, description: str, *, details: Mapping[str, Any]
    ) -> None:
        """Add one event to each account of a debtor, as ``add`` does to one."""
        accounts = select(
            Account.agency_id,
            Account.id,
            literal(kind),
            literal(description),
            literal(self._tenant.actor.name),
            literal(dict(details), JSONB),
        ).where(Account.agency_id == self._agency_id, Account.debtor_id == debtor_id)
        columns = ["agency_id", "account_id", "kind", "description", "actor", "details"]
        await self._session.execute(
            insert(TimelineEvent).from_select(columns, accounts, include_defaults=False)
        )

    async def latest(self, account_id: UUID) -> datetime | None:
        """When something last happened to an account; None when nothing did since it was placed."""
        return await self._session.scalar(
            select(func.max(TimelineEvent.at)).where(
                TimelineEvent.agency_id == self._agency_id, TimelineEvent.account_id == account_id
            )
        )

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[TimelineEvent]:
        """At most ``limit`` events next to a position ``(at, id)``, nearest first; newest first without."""
        events = select(TimelineEvent).where(TimelineEvent.account_id == account_id)
        query = newest_first(events, (TimelineEvent.at, TimelineEvent.id), position, limit)
        return (await self._session.scalars(query)).all()


_ADD = b"""
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, old, new, details)
    VALUES (%(agency_id)s, %(account_id)s, %(kind)s, %(description)s, %(actor)s, %(old)s, %(new)s,
            %(details)s)
    RETURNING id, at
"""
