"""Scores: what they are now, what they were, the runs that make them and the notices they cause."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class AccountScore(Base):
    """The current score of an account, narrow and apart from the account row.

    It repeats what the worklist filters by (agency, collector, queued), kept up with the account,
    so that an index serves the worklist. ``rank`` is the priority score in cents. ``scored_at`` is
    since when it has been this score. The versions are those of the rows it was made from: a score of
    older rows never replaces one of newer rows.
    """

    __tablename__ = "account_score"
    __table_args__ = (
        Index(
            "ix_account_score_worklist",
            "agency_id",
            text("rank DESC"),
            "account_id",
            postgresql_where=text("queued"),
        ),
        Index(
            "ix_account_score_collector",
            "agency_id",
            "collector_id",
            text("rank DESC"),
            "account_id",
            postgresql_where=text("queued AND collector_id IS NOT NULL"),
        ),
        Index(
            "ix_account_score_level",
            "agency_id",
            "level",
            text("rank DESC"),
            "account_id",
            postgresql_where=text("queued"),
        ),
        Index("ix_account_score_rank", "agency_id", text("rank DESC"), text("account_id DESC")),
        same_agency("account_id", "account"),
        CheckConstraint("priority BETWEEN 0 AND 3", "priority"),
        CheckConstraint("level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')", "level"),
    )

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    collector_id: Mapped[UUID | None]
    queued: Mapped[bool]
    rank: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int]
    level: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    high_priority: Mapped[bool]
    points: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    scorecard_id: Mapped[UUID] = mapped_column(ForeignKey("scorecard.id"))
    scored_at: Mapped[Instant]
    inputs_hash: Mapped[bytes]
    account_version: Mapped[int]
    debtor_version: Mapped[int]


class AccountScoreHistory(Base):
    """A score as it was made, with all that went into it. Append-only, partitioned by month.

    A row is added when the score, the scorecard or the inputs have changed, so the score of a day is
    the last row up to that day. Facts that the scorecard does not use are null. ``inputs_hash`` is the
    SHA-256 of the inputs (``domain.scoring.facts``).
    """

    __tablename__ = "account_score_history"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "scored_at", "id"),
        {"postgresql_partition_by": "RANGE (scored_at)"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    scored_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    run_id: Mapped[UUID | None]
    scorecard_id: Mapped[UUID]
    threshold: Mapped[Amount]
    total: Mapped[int]
    level: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    rank: Mapped[int] = mapped_column(BigInteger)
    high_priority: Mapped[bool]
    points: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    balance: Mapped[Amount]
    monthly_income: Mapped[Amount | None]
    late_payments_count: Mapped[int | None]
    employment_status: Mapped[str | None]
    contract_type: Mapped[str | None]
    industry_sector: Mapped[str | None]
    family_situation: Mapped[str | None]
    inputs_hash: Mapped[bytes]


class ScoringRun(Base):
    """A run of the scorecard over some accounts or all; at most one at a time per agency.

    ``total``, ``scored``, ``changed``, ``errors`` and ``high_priority`` count accounts; ``threshold`` is
    the one that the run judges by (null: the scorecard's own); ``top`` are the best accounts to work when
    it ended, best first.
    """

    __tablename__ = "scoring_run"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        CheckConstraint("origin IN ('manual', 'schedule', 'import')", "origin"),
        CheckConstraint("(origin = 'import') = (import_id IS NOT NULL)", "import"),
        Index(
            "uq_scoring_run_running",
            "agency_id",
            unique=True,
            postgresql_where=text("status = 'running'"),
        ),
        Index("ix_scoring_run_newest", "agency_id", text("created_at DESC"), text("id DESC")),
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
    changed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    errors: Mapped[int] = mapped_column(BigInteger, server_default="0")
    levels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    high_priority: Mapped[int] = mapped_column(BigInteger, server_default="0")
    top: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    origin: Mapped[str]
    requested_by: Mapped[str]
    batch_size: Mapped[int] = mapped_column(server_default="25000")
    threshold: Mapped[Amount | None]
    chunks: Mapped[int] = mapped_column(server_default="0")
    chunks_done: Mapped[int] = mapped_column(server_default="0")
    reason: Mapped[str | None]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class ScoringChunk(Base):
    """A part of a scoring run, planned when the run begins; marked in the transaction that scored it.

    Its accounts are those of a range of ids, or, without a range, those of the import's bucket of the
    same number.
    """

    __tablename__ = "scoring_chunk"
    __table_args__ = (same_agency("run_id", "scoring_run"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    first_id: Mapped[UUID | None]
    last_id: Mapped[UUID | None]
    scored: Mapped[int] = mapped_column(server_default="0")
    changed: Mapped[int] = mapped_column(server_default="0")
    errors: Mapped[int] = mapped_column(server_default="0")
    high_priority: Mapped[int] = mapped_column(server_default="0")
    levels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    scored_at: Mapped[Instant | None]


class ScoringError(Base):
    """An account that a run could not score, and why; its former score stands."""

    __tablename__ = "scoring_error"
    __table_args__ = (same_agency("run_id", "scoring_run"), same_agency("account_id", "account"))

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    error: Mapped[str]


class HighPriorityNotice(Base):
    """An account that has become one of high priority: to be told to whom it concerns, once."""

    __tablename__ = "high_priority_notice"
    __table_args__ = (
        same_agency("account_id", "account"),
        Index(
            "uq_high_priority_notice_undelivered",
            "account_id",
            unique=True,
            postgresql_where=text("delivered_at IS NULL"),
        ),
        Index(
            "ix_high_priority_notice_undelivered",
            "agency_id",
            "id",
            postgresql_where=text("delivered_at IS NULL"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    run_id: Mapped[UUID | None]
    rank: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int]
    level: Mapped[str]
    created_at: Mapped[Now]
    delivered_at: Mapped[Instant | None]
