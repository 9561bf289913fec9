"""Records about the operation itself: commands and the audit trail."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, PrimaryKeyConstraint, func, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Now


class Command(Base):
    """A command that was carried out, by its idempotency key, with the answer it was given."""

    __tablename__ = "command"
    __table_args__ = (PrimaryKeyConstraint("agency_id", "operation", "key"),)

    agency_id: Mapped[UUID]
    operation: Mapped[str]
    key: Mapped[str]
    body_hash: Mapped[bytes]
    status: Mapped[int]
    response: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[Now]


class AuditRecord(Base):
    """Who changed what, from where. The application role may only insert and read."""

    __tablename__ = "audit_record"
    __table_args__ = (
        PrimaryKeyConstraint("id", "at"),
        Index(None, "agency_id", "entity", "entity_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    agency_id: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor: Mapped[str]
    ip: Mapped[str | None] = mapped_column(INET)
    action: Mapped[str]
    entity: Mapped[str]
    entity_id: Mapped[str]
    old: Mapped[dict[str, Any] | None]
    new: Mapped[dict[str, Any] | None]
