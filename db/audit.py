"""The audit trail: who changed what, from where. Append-only by the grants of its table."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import AuditRecord
from db.store import Store
from domain.tenancy import Actor


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {key: _told(value) for key, value in values.items()}


def _told(value: object) -> object:
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, str | int | bool | dict | None):
        return value
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _record(
    actor: Actor,
    agency_id: UUID | None,
    action: str,
    entity: str,
    entity_id: UUID | str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "agency_id": agency_id,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor": actor.name,
        "ip": actor.ip,
        "action": action,
        "entity": entity,
        "entity_id": str(entity_id),
        "old": _plain(old),
        "new": _plain(new),
    }


async def record_platform_change(
    session: AsyncSession,
    actor: Actor,
    action: str,
    entity: str,
    entity_id: UUID | str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Record a change that belongs to no agency, such as a new platform user."""
    # Inline: the policy lets such records be written but not read, so nothing can be returned either.
    await session.execute(
        insert(AuditRecord).values(_record(actor, None, action, entity, entity_id, old, new)).inline()
    )


class AuditStore(Store):
    """Audit records of one agency. Secrets and SSN digits are never passed in."""

    async def record(
        self,
        action: str,
        entity: str,
        entity_id: UUID | str,
        *,
        old: Mapping[str, Any] | None = None,
        new: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that the tenant's actor did ``action`` to ``entity``: the changed fields, old and new."""
        values = _record(self._tenant.actor, self._agency_id, action, entity, entity_id, old, new)
        values |= {name: None if values[name] is None else Jsonb(values[name]) for name in ("old", "new")}
        await self._send(_RECORD, values)

    async def of(self, entity: str, entity_id: UUID | str) -> Sequence[AuditRecord]:
        """The records about one entity, oldest first."""
        found = await self._session.scalars(
            select(AuditRecord)
            .where(AuditRecord.entity == entity, AuditRecord.entity_id == str(entity_id))
            .order_by(AuditRecord.at, AuditRecord.id)
        )
        return found.all()

    async def latest(
        self, entity: str, entity_ids: Sequence[str], actions: Sequence[str]
    ) -> Sequence[AuditRecord]:
        """Of each entity the newest record of one of the ``actions``."""
        found = await self._session.scalars(
            select(AuditRecord)
            .ext(distinct_on(AuditRecord.entity_id))
            .where(
                AuditRecord.entity == entity,
                AuditRecord.entity_id.in_(entity_ids),
                AuditRecord.action.in_(actions),
            )
            .order_by(AuditRecord.entity_id, AuditRecord.at.desc(), AuditRecord.id.desc())
        )
        return found.all()


_RECORD = b"""
    INSERT INTO audit_record (agency_id, actor_kind, actor_id, actor, ip, action, entity, entity_id, old, new)
    VALUES (%(agency_id)s, %(actor_kind)s, %(actor_id)s, %(actor)s, %(ip)s, %(action)s, %(entity)s,
            %(entity_id)s, %(old)s, %(new)s)
"""
