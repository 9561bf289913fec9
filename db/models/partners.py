"""Partners: how they are worked with, what is sent to them, and which accounts they know."""

from datetime import time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Partner(Base):
    """Somebody else who keeps records of our accounts or our money.

    ``kind``: an agency that works accounts for us, or a bank. ``delivery``: how accounts are sent to it.
    ``source_id``: the SFTP server where its folder ``/partners/<name>`` lies. ``statement_profile``: the
    layout of its statements as JSON. A difference is tolerated up to the smaller of ``tolerance_absolute``
    and ``tolerance_percent`` of our amount. Above ``approval_limit`` a resolution needs a second person; from
    ``material_amount`` on a break is a case at once. ``reconcile_at``: daily, in the agency's time zone.
    It takes the accounts of its ``creditor_ids`` and ``risk_levels`` (none: of all) from ``min_balance`` on;
    where several do, each gets its ``share`` of them.
    """

    __tablename__ = "partner"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        UniqueConstraint("agency_id", "name"),
        same_agency("source_id", "sftp_source"),
        CheckConstraint("kind IN ('agency', 'bank')", "kind"),
        CheckConstraint("delivery IN ('none', 'sftp', 'https')", "delivery"),
        CheckConstraint("tolerance_absolute >= 0", "tolerance_absolute"),
        CheckConstraint("tolerance_percent BETWEEN 0 AND 100", "tolerance_percent"),
        CheckConstraint("approval_limit >= 0 AND material_amount >= 0", "limits"),
        CheckConstraint("answer_within_hours > 0 AND stale_after_days > 0", "times"),
        CheckConstraint("risk_levels <@ ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL']", "risk_levels"),
        CheckConstraint("share BETWEEN 0 AND 100", "share"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="agency")
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    source_id: Mapped[UUID | None]
    delivery: Mapped[str] = mapped_column(server_default="none")
    delivery_url: Mapped[str | None]
    signing_secret_encrypted: Mapped[bytes | None]
    statement_profile: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    tolerance_absolute: Mapped[Amount] = mapped_column(server_default=text("1.00"))
    tolerance_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2), server_default=text("1.00"))
    approval_limit: Mapped[Amount] = mapped_column(server_default=text("100.00"))
    material_amount: Mapped[Amount] = mapped_column(server_default=text("1000.00"))
    answer_within_hours: Mapped[int] = mapped_column(server_default=text("72"))
    stale_after_days: Mapped[int] = mapped_column(server_default=text("45"))
    reconcile_at: Mapped[time | None]
    creditor_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'::uuid[]"))
    risk_levels: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))
    min_balance: Mapped[Amount | None]
    share: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class PartnerRules(Base):
    """One version of a partner's rules for matching and resolving, as YAML; never changed."""

    __tablename__ = "partner_rules"
    __table_args__ = (UniqueConstraint("partner_id", "version"), same_agency("partner_id", "partner"))

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    version: Mapped[int]
    body: Mapped[str]
    sha256: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[Now]


class PartnerSyncRun(Base):
    """One sending of high-priority accounts to a partner; ``delivered`` counts those in delivered batches.

    ``delivery``: how it goes, decided with what is in it.
    """

    __tablename__ = "partner_sync"
    __table_args__ = (
        same_agency("partner_id", "partner"),
        UniqueConstraint("partner_id", "scoring_run_id"),
        CheckConstraint("delivery IN ('sftp', 'https')", "delivery"),
        CheckConstraint("origin IN ('manual', 'scoring')", "origin"),
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        Index(None, "agency_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    scoring_run_id: Mapped[UUID | None]
    origin: Mapped[str]
    requested_by: Mapped[str]
    delivery: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="pending")
    total: Mapped[int] = mapped_column(server_default=text("0"))
    delivered: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    created_at: Mapped[Now]
    completed_at: Mapped[Instant | None]


class PartnerBatch(Base):
    """The delivery record of one batch: where it went, under which digest, and what was answered."""

    __tablename__ = "partner_batch"
    __table_args__ = (
        UniqueConstraint("sync_id", "number"),
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", "status"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    sync_id: Mapped[UUID] = mapped_column(ForeignKey("partner_sync.id", ondelete="CASCADE"))
    number: Mapped[int]
    items: Mapped[int]
    sha256: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    target: Mapped[str | None]
    answer: Mapped[str | None]
    last_problem: Mapped[str | None]
    created_at: Mapped[Now]
    delivered_at: Mapped[Instant | None]


class PartnerSyncItem(Base):
    """One account as it was when it was put into a batch: every attempt sends the same bytes."""

    __tablename__ = "partner_sync_item"
    __table_args__ = (Index(None, "sync_id", "batch"),)

    sync_id: Mapped[UUID] = mapped_column(ForeignKey("partner_sync.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    batch: Mapped[int]
    account_id: Mapped[UUID]
    debtor_id: Mapped[UUID]
    account_ref: Mapped[str]
    risk_score: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    internal_balance: Mapped[Amount]
    internal_status: Mapped[str]
    processed_at: Mapped[Instant]


class PartnerAccount(Base):
    """An account that was sent to a partner or ever named by it, and the newest that the partner said of it.

    Written by the hundred thousand, so without a foreign key to the account: what finds them is one statement
    that reads both. ``sent_at``: when its delivery was confirmed; ``sent_as_of``: as of when it was as sent.
    """

    __tablename__ = "partner_account"
    __table_args__ = (Index(None, "account_id"),)

    partner_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    reference: Mapped[str | None]
    sent_at: Mapped[Instant | None]
    sent_as_of: Mapped[Instant | None]
    balance: Mapped[Amount | None]
    status: Mapped[str | None]
    currency: Mapped[str | None]
    processed_at: Mapped[Instant | None]
    matched_by: Mapped[str | None]
    statement_id: Mapped[UUID | None]
    line: Mapped[int | None]
    run_id: Mapped[UUID | None]


class PartnerAssignment(Base):
    """The partner that works an account; there is at most one.

    Written by the hundred thousand, so without foreign keys: what finds them is one statement that reads
    accounts and partners, and neither is ever deleted by itself.
    """

    __tablename__ = "partner_assignment"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    assigned_at: Mapped[Now]
