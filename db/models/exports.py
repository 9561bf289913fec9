"""Lists that people have had written into files."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Instant, Now, UuidKey


class ExportJob(Base):
    """A list as a file. ``filters`` are as they were asked for, ``wanted`` as they were understood.

    ``requested_by_id`` is null of whoever runs the command line on the server. ``sees_only``: the collector
    whose accounts alone went into the file. ``total`` are the rows to be expected, null where that is not
    known. ``location`` is the key of the file in object storage; each of the ``attempts`` writes one of its
    own. The file is gone since ``removed_at``, the row stays.
    """

    __tablename__ = "export_job"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        CheckConstraint("format IN ('csv')", "format"),
        CheckConstraint(
            "status <> 'completed' OR num_nulls(location, sha256, completed_at, expires_at) = 0", "whole"
        ),
        CheckConstraint("(status = 'failed') = (reason IS NOT NULL)", "failed"),
        Index(None, "agency_id", "id"),
        Index(
            "ix_export_job_at_work",
            "agency_id",
            "created_at",
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    list_name: Mapped[str]
    filters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    wanted: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    format: Mapped[str] = mapped_column(server_default="csv")
    requested_by: Mapped[str]
    requested_by_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    sees_only: Mapped[UUID | None]
    total: Mapped[int | None] = mapped_column(BigInteger)
    rows_written: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes_written: Mapped[int] = mapped_column(BigInteger, server_default="0")
    location: Mapped[str | None]
    sha256: Mapped[str | None]
    reason: Mapped[str | None]
    reason_type: Mapped[str | None]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]
    expires_at: Mapped[Instant | None]
    removed_at: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
