"""Record a change where it belongs: with its agency, or with the platform."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from db.audit import record_platform_change
from services.access import PLATFORM_AGENCY

if TYPE_CHECKING:
    from db.session import Transaction


async def record(
    tx: "Transaction",
    action: str,
    entity: str,
    entity_id: UUID,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Record that the transaction's actor did ``action`` to ``entity``. Never pass a secret."""
    if tx.tenant.agency_id == PLATFORM_AGENCY:
        await record_platform_change(tx.session, tx.tenant.actor, action, entity, entity_id, old=old, new=new)
    else:
        await tx.audit.record(action, entity, entity_id, old=old, new=new)
