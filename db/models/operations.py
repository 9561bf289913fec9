"""Records about the operation itself: commands, the audit trail, scoring runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Instant, Now, UuidKey, same_agency


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


class ScoringRun(Base):
    """A run of the scorecard over some accounts; at most one at a time per agency."""

    __tablename__ = "scoring_run"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        Index(
            "uq_scoring_run_running",
            "agency_id",
            unique=True,
            postgresql_where=text("status = 'running'"),
        ),
        UniqueConstraint("agency_id", "id"),
        same_agency("import_id", "import_job"),
        Index(None, "import_id", unique=True, postgresql_where=text("import_id IS NOT NULL")),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    import_id: Mapped[UUID | None]
    scorecard_id: Mapped[UUID] = mapped_column(ForeignKey("scorecard.id"))
    status: Mapped[str] = mapped_column(server_default="pending")
    total: Mapped[int] = mapped_column(BigInteger, server_default="0")
    scored: Mapped[int] = mapped_column(BigInteger, server_default="0")
    errors: Mapped[int] = mapped_column(BigInteger, server_default="0")
    levels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    high_priority: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reason: Mapped[str | None]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class ScoringChunk(Base):
    """A chunk of a scoring run that is done; written in the transaction that scored it."""

    __tablename__ = "scoring_chunk"
    __table_args__ = (same_agency("run_id", "scoring_run"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    scored: Mapped[int]
    high_priority: Mapped[int]
    levels: Mapped[dict[str, Any]]
    scored_at: Mapped[Now]
