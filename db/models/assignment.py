"""Runs that spread unassigned accounts over collectors."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Instant, Now, UuidKey


class AssignmentRun(Base):
    """A run of automatic assignment. ``assigned`` and ``left_over`` count accounts.

    ``shares``: by collector id, the ``accounts`` that they were given and their value in ``cents``. The run
    has looked at all accounts down to ``after_rank`` and ``after_id`` in the order of the worklist.
    """

    __tablename__ = "assignment_run"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        CheckConstraint("origin IN ('manual', 'schedule')", "origin"),
        Index("ix_assignment_run_newest", "agency_id", text("created_at DESC"), text("id DESC")),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    origin: Mapped[str]
    requested_by: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    assigned: Mapped[int] = mapped_column(BigInteger, server_default="0")
    left_over: Mapped[int | None] = mapped_column(BigInteger)
    shares: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    after_rank: Mapped[int | None] = mapped_column(BigInteger)
    after_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
