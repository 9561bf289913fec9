"""Debtors, their accounts and what happened to them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Debtor(Base):
    """A person who owes. ``natural_key`` is ``ref:{debtor_ref}`` where the creditor gave one, else
    ``acct:{creditor number}:{external_ref}``: nothing is merged by guess."""

    __tablename__ = "debtor"
    __table_args__ = (
        UniqueConstraint("agency_id", "natural_key"),
        UniqueConstraint("agency_id", "id"),
        CheckConstraint("late_payments_count >= 0", "late_payments"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    natural_key: Mapped[str]
    debtor_ref: Mapped[str | None]
    full_name: Mapped[str]
    ssn_last4_encrypted: Mapped[bytes | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    address_line1: Mapped[str | None]
    address_line2: Mapped[str | None]
    city: Mapped[str | None]
    state: Mapped[str | None]
    postal_code: Mapped[str | None]
    country: Mapped[str | None]
    monthly_income: Mapped[Amount | None]
    late_payments_count: Mapped[int | None]
    employment_status: Mapped[str | None]
    contract_type: Mapped[str | None]
    industry_sector: Mapped[str | None]
    family_situation: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Account(Base):
    """A debt placed with an agency. ``balance`` equals its postings at all times; ``held`` when a hold
    forbids to work it, ``promised`` while a promise to pay is open: both keep it off the worklist."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("agency_id", "creditor_id", "external_ref"),
        CheckConstraint(
            "status IN ('new', 'assigned', 'in_contact', 'negotiating', 'payment_plan', 'settled',"
            " 'disputed', 'closed')",
            "status",
        ),
        CheckConstraint("original_amount > 0", "original_amount"),
        CheckConstraint("balance >= 0", "balance"),
        UniqueConstraint("agency_id", "id"),
        same_agency("creditor_id", "creditor"),
        same_agency("debtor_id", "debtor"),
        same_agency("assigned_to", "collector"),
        Index(None, "debtor_id"),
        Index(None, "agency_id", "status", "id"),
        Index(None, "agency_id", "balance_cents", "id"),
        Index(None, "agency_id", "due_date", "id"),
        Index(
            "ix_account_charged_off",
            "agency_id",
            "charge_off_date",
            "id",
            postgresql_where=text("due_date IS NULL"),
        ),
        Index(None, "agency_id", "assigned_to", "id", postgresql_where=text("assigned_to IS NOT NULL")),
        Index("ix_account_nobody", "agency_id", "id", postgresql_where=text("assigned_to IS NULL")),
        Index(
            "ix_account_admitted",
            "agency_id",
            "id",
            postgresql_where=text("admitted_at IS NOT NULL AND released_at IS NULL"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    creditor_id: Mapped[UUID]
    debtor_id: Mapped[UUID]
    external_ref: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="new")
    original_amount: Mapped[Amount]
    balance: Mapped[Amount]
    balance_cents: Mapped[int] = mapped_column(
        BigInteger, Computed("(balance * 100)::bigint", persisted=True)
    )
    currency: Mapped[str] = mapped_column(server_default="USD")
    account_type: Mapped[str | None]
    due_date: Mapped[date | None]
    charge_off_date: Mapped[date | None]
    last_payment_date: Mapped[date | None]
    itemization_date: Mapped[date | None]
    assigned_to: Mapped[UUID | None]
    held: Mapped[bool] = mapped_column(server_default=text("false"))
    promised: Mapped[bool] = mapped_column(server_default=text("false"))
    closed_reason: Mapped[str | None]
    admitted_at: Mapped[Instant | None] = mapped_column(
        comment="when its AccountLifecycle was started; null: no workflow was ever needed"
    )
    released_at: Mapped[Instant | None] = mapped_column(comment="when its AccountLifecycle ended")
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class AccountSearch(Base):
    """What the free-text search of accounts looks at: reference, name, email and phone, lower case.

    ``debtor_version`` is that of the debtor it was made from: a document never replaces a newer one.
    """

    __tablename__ = "account_search"
    __table_args__ = (
        same_agency("account_id", "account"),
        Index(
            "ix_account_search_document",
            "agency_id",
            "document",
            postgresql_using="gin",
            postgresql_ops={"document": "gin_trgm_ops"},
        ),
    )

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    document: Mapped[str]
    debtor_version: Mapped[int] = mapped_column(server_default="0")


class DebtorSearch(Base):
    """What the free-text search looks at of a debtor who was made without an account: name, email and
    phone, lower case. With an account, they are found by its document."""

    __tablename__ = "debtor_search"
    __table_args__ = (
        same_agency("debtor_id", "debtor"),
        Index(
            "ix_debtor_search_document",
            "agency_id",
            "document",
            postgresql_using="gin",
            postgresql_ops={"document": "gin_trgm_ops"},
        ),
    )

    debtor_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    document: Mapped[str]


class TimelineEvent(Base):
    """Something that happened to an account. Append-only, partitioned by month."""

    __tablename__ = "timeline_event"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "at", "id"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    kind: Mapped[str]
    description: Mapped[str]
    actor: Mapped[str]
    old: Mapped[str | None]
    new: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    details: Mapped[dict[str, Any] | None]
