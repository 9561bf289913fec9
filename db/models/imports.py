"""Portfolio imports: what came in, how far it is, what was refused and why."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Instant, Now, UuidKey, same_agency


class ImportJob(Base):
    """One file content on its way in. The row is its progress: updated with every checkpoint."""

    __tablename__ = "import_job"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'processing', 'completed', 'failed')", "status"),
        CheckConstraint("channel IN ('sftp', 'upload')", "channel"),
        Index(
            "uq_import_job_content",
            "agency_id",
            "sha256",
            unique=True,
            postgresql_where=text("status <> 'failed'"),
        ),
        UniqueConstraint("agency_id", "id"),
        same_agency("source_id", "sftp_source"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    source_id: Mapped[UUID | None]
    channel: Mapped[str]
    file_name: Mapped[str]
    location: Mapped[str]
    sha256: Mapped[str]
    profile: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(server_default="pending")
    phase: Mapped[str] = mapped_column(server_default="waiting")
    total_records: Mapped[int] = mapped_column(BigInteger, server_default="0")
    processed_ok: Mapped[int] = mapped_column(BigInteger, server_default="0")
    processed_errors: Mapped[int] = mapped_column(BigInteger, server_default="0")
    warnings: Mapped[int] = mapped_column(BigInteger, server_default="0")
    accounts_created: Mapped[int] = mapped_column(BigInteger, server_default="0")
    accounts_updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes_total: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes_done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    buckets: Mapped[int] = mapped_column(server_default="0")
    buckets_done: Mapped[int] = mapped_column(server_default="0")
    header: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    unknown_columns: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    reason: Mapped[str | None]
    reason_type: Mapped[str | None]
    requested_by: Mapped[str]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class ImportProblem(Base):
    """A problem of one cell or row; ``severity`` says whether the row was refused."""

    __tablename__ = "import_error"
    __table_args__ = (
        same_agency("import_id", "import_job"),
        CheckConstraint("severity IN ('error', 'warning')", "severity"),
        Index(None, "import_id", "line", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    agency_id: Mapped[UUID]
    import_id: Mapped[UUID]
    line: Mapped[int] = mapped_column(BigInteger)
    severity: Mapped[str]
    column: Mapped[str]
    value: Mapped[str]
    error: Mapped[str]


class ImportRefusal(Base):
    """The original text of a refused record (ciphertext), kept so that it can be mended and sent again."""

    __tablename__ = "import_refusal"
    __table_args__ = (same_agency("import_id", "import_job"),)

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    agency_id: Mapped[UUID]
    text_encrypted: Mapped[bytes]


class ImportBucket(Base):
    """A merged hash bucket of one pass; its row is written in the transaction that merged it.

    ``account_ids`` are the accounts to be scored and indexed afterwards: those that the file named, new
    or not, and in the debtors' pass the other accounts of debtors that it changed.
    """

    __tablename__ = "import_bucket"
    __table_args__ = (
        same_agency("import_id", "import_job"),
        CheckConstraint("stage IN ('debtors', 'accounts')", "stage"),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    inserted: Mapped[int]
    updated: Mapped[int]
    warnings: Mapped[int]
    account_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    merged_at: Mapped[Now]
