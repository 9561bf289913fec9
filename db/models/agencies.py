"""Agencies and what is set up for them: users, collectors, creditors, where files come from."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Agency(Base):
    """A tenant. Exempt from row-level security: it is what the policies compare with.

    Without a ``high_priority_threshold`` the one of its scorecard counts. ``overpayments``: what is done with
    a payment of more than the balance. A collector may offer to settle for at least
    ``least_settlement_percent`` of it.
    """

    __tablename__ = "agency"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("lifecycle_capacity >= 0", "capacity"),
        CheckConstraint("overpayments IN ('refuse', 'credit')", "overpayments"),
        CheckConstraint("least_settlement_percent BETWEEN 0 AND 100", "least_settlement_percent"),
    )

    id: Mapped[UuidKey]
    slug: Mapped[str]
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="America/New_York")
    currency: Mapped[str] = mapped_column(server_default="USD")
    scorecard: Mapped[str] = mapped_column(server_default="recovery-v1")
    high_priority_threshold: Mapped[Amount | None]
    rule_set: Mapped[str] = mapped_column(server_default="federal")
    lifecycle_capacity: Mapped[int | None]
    overpayments: Mapped[str] = mapped_column(server_default="refuse")
    least_settlement_percent: Mapped[int] = mapped_column(server_default=text("60"))
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class AppUser(Base):
    """A login. Exempt from row-level security: a login does not know its agency yet."""

    __tablename__ = "app_user"
    __table_args__ = (
        UniqueConstraint("username"),
        CheckConstraint("role IN ('platform_admin', 'agency_admin', 'collector', 'auditor')", "role"),
        CheckConstraint("(agency_id IS NULL) = (role = 'platform_admin')", "agency"),
        Index(None, "agency_id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID | None] = mapped_column(ForeignKey("agency.id"))
    username: Mapped[str]
    full_name: Mapped[str]
    email: Mapped[str | None]
    role: Mapped[str]
    password_hash: Mapped[str]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    logins_valid_from: Mapped[Instant | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class RefreshToken(Base):
    """One refresh token of a login family; using it twice revokes the family. Exempt."""

    __tablename__ = "refresh_token"
    __table_args__ = (UniqueConstraint("token_hash"), Index(None, "family_id"), Index(None, "user_id"))

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id"))
    family_id: Mapped[UUID]
    token_hash: Mapped[bytes]
    expires_at: Mapped[Instant]
    used_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]
    created_at: Mapped[Now]


class LoginAttempt(Base):
    """Failed logins by name, by address (the other one empty) and by both, as keyed hashes. Exempt.

    ``failures`` since ``counted_from``. A row of both is an address that the name has come in from.
    """

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "expires_at"),)

    name: Mapped[bytes] = mapped_column(primary_key=True)
    address: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    locks: Mapped[int] = mapped_column(server_default=text("0"))
    counted_from: Mapped[Now]
    locked_until: Mapped[Instant | None]
    expires_at: Mapped[Instant]


class Collector(Base):
    """A person who works accounts; ``max_accounts`` bounds automatic assignment only."""

    __tablename__ = "collector"
    __table_args__ = (
        UniqueConstraint("user_id"),
        UniqueConstraint("agency_id", "id"),
        CheckConstraint("max_accounts >= 0", "max_accounts"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id"))
    full_name: Mapped[str]
    max_accounts: Mapped[int] = mapped_column(server_default="200")
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Creditor(Base):
    """Whose debts are placed. ``number`` is short and never changes, for keys made of text."""

    __tablename__ = "creditor"
    __table_args__ = (
        UniqueConstraint("agency_id", "name"),
        UniqueConstraint("agency_id", "id"),
        Index("uq_creditor_agency_id_default", "agency_id", unique=True, postgresql_where=text("is_default")),
    )

    id: Mapped[UuidKey]
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    name: Mapped[str]
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class SftpSource(Base):
    """A folder on a creditor's SFTP server that is polled for portfolio files.

    ``profile`` is the import profile (layout, limits) as JSON; password and key are ciphertext.
    """

    __tablename__ = "sftp_source"
    __table_args__ = (
        UniqueConstraint("agency_id", "name"),
        UniqueConstraint("agency_id", "id"),
        same_agency("creditor_id", "creditor"),
        CheckConstraint("port BETWEEN 1 AND 65535", "port"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    creditor_id: Mapped[UUID | None]
    name: Mapped[str]
    host: Mapped[str]
    port: Mapped[int]
    username: Mapped[str]
    password_encrypted: Mapped[bytes | None]
    private_key_encrypted: Mapped[bytes | None]
    host_key: Mapped[str]
    inbox: Mapped[str] = mapped_column(server_default="/inbox")
    profile: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    last_polled_at: Mapped[Instant | None]
    last_problem: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Scorecard(Base):
    """An immutable version of a scorecard, as it was when it first scored. Exempt."""

    __tablename__ = "scorecard"
    __table_args__ = (UniqueConstraint("sha256"),)

    id: Mapped[UuidKey]
    name: Mapped[str]
    definition: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    maximum: Mapped[Decimal]
    created_at: Mapped[Now]
