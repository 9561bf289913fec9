"""What is promised, disputed, offered and held on accounts; how debtors are contacted; the law's word."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Hold(Base):
    """Something that forbids to work an account, or one way of contact; in force until released.

    ``until`` is the last day it is in force, where one was given: the account's lifecycle ends it then.
    """

    __tablename__ = "hold"
    __table_args__ = (
        same_agency("account_id", "account"),
        same_agency("debtor_id", "debtor"),
        Index(
            "uq_hold_in_force",
            "account_id",
            "kind",
            unique=True,
            postgresql_where=text("released_at IS NULL"),
        ),
        # Released ones, too: a contact that is logged late is judged by the holds of its time.
        Index(None, "agency_id", "debtor_id"),
        Index(None, "agency_id", "account_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    debtor_id: Mapped[UUID]
    kind: Mapped[str]
    reason: Mapped[str]
    until: Mapped[date | None]
    placed_at: Mapped[Now]
    placed_by: Mapped[str]
    released_at: Mapped[Instant | None]
    released_by: Mapped[str | None]


class Promise(Base):
    """A promise to pay ``amount`` by ``due_date``; at most one is open on an account."""

    __tablename__ = "promise"
    __table_args__ = (
        same_agency("account_id", "account"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("status IN ('open', 'kept', 'broken', 'cancelled')", "status"),
        Index("uq_promise_open", "account_id", unique=True, postgresql_where=text("status = 'open'")),
        Index("ix_promise_status", "agency_id", "status", "account_id"),
        Index(None, "agency_id", "account_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    amount: Mapped[Amount]
    currency: Mapped[str]
    due_date: Mapped[date]
    status: Mapped[str] = mapped_column(server_default="open")
    made_at: Mapped[Now]
    made_by: Mapped[str]
    resolved_at: Mapped[Instant | None]


class Dispute(Base):
    """A dispute of a debt; at most one is open on an account.

    ``in_period``: it came in writing inside the validation period (12 CFR 1006.38). ``duplicate_of`` names
    the answered dispute that this one repeats.
    """

    __tablename__ = "dispute"
    __table_args__ = (
        same_agency("account_id", "account"),
        UniqueConstraint("agency_id", "id"),
        same_agency("duplicate_of", "dispute"),
        CheckConstraint("status IN ('open', 'answered', 'cancelled')", "status"),
        Index("uq_dispute_open", "account_id", unique=True, postgresql_where=text("status = 'open'")),
        Index(None, "agency_id", "account_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    reason: Mapped[str]
    received_on: Mapped[date]
    in_writing: Mapped[bool]
    in_period: Mapped[bool]
    duplicate_of: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default="open")
    outcome: Mapped[str | None]
    verification_sent_on: Mapped[date | None]
    recorded_at: Mapped[Now]
    recorded_by: Mapped[str]
    answered_at: Mapped[Instant | None]
    answered_by: Mapped[str | None]


class SettlementOffer(Base):
    """An offer to settle for ``amount`` in ``instalments``, good to the end of ``expires_on``.

    At most one is open on an account. It is ``kept`` when the amount was paid; the journal ``write_off_id``
    has then forgiven the rest.
    """

    __tablename__ = "settlement_offer"
    __table_args__ = (
        same_agency("account_id", "account"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("instalments > 0", "instalments"),
        CheckConstraint("status IN ('open', 'accepted', 'kept', 'expired', 'cancelled')", "status"),
        UniqueConstraint("agency_id", "id"),
        same_agency("write_off_id", "journal"),
        Index(
            "uq_settlement_offer_open", "account_id", unique=True, postgresql_where=text("status = 'open'")
        ),
        Index(None, "agency_id", "account_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    amount: Mapped[Amount]
    percent: Mapped[Any | None] = mapped_column(Numeric(5, 2))
    currency: Mapped[str]
    instalments: Mapped[int]
    expires_on: Mapped[date]
    status: Mapped[str] = mapped_column(server_default="open")
    made_at: Mapped[Now]
    made_by: Mapped[str]
    resolved_at: Mapped[Instant | None]
    write_off_id: Mapped[UUID | None]


class AccountMilestone(Base):
    """A deadline of an account that was reached and noted, once."""

    __tablename__ = "account_milestone"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "kind", "due_at"),
        same_agency("account_id", "account"),
    )

    account_id: Mapped[UUID]
    agency_id: Mapped[UUID]
    kind: Mapped[str]
    due_at: Mapped[Instant]
    noted_at: Mapped[Now]


class LifecycleNotice(Base):
    """An account that was changed beside its lifecycle, to be told by ``signal``; gone when it was."""

    __tablename__ = "lifecycle_notice"
    __table_args__ = (same_agency("account_id", "account"), Index(None, "agency_id", "noted_at"))

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    noted_at: Mapped[Now]
    signal: Mapped[str] = mapped_column(server_default="account_changed")


class Contact(Base):
    """An attempt to reach a debtor about an account, or theirs to reach us. Append-only.

    ``connected``: the call reached the number dialled; ``conversation``: somebody spoke with the person.
    ``consented``: placed with the consent that was given within seven days before; ``consent_given``: the
    person consented to be called again.
    """

    __tablename__ = "contact"
    __table_args__ = (
        same_agency("account_id", "account"),
        same_agency("debtor_id", "debtor"),
        CheckConstraint("channel IN ('call', 'email', 'sms', 'letter')", "channel"),
        CheckConstraint("direction IN ('outbound', 'inbound')", "direction"),
        UniqueConstraint("decision_id"),
        Index(None, "agency_id", "debtor_id", "at"),
        Index(None, "agency_id", "account_id", "at", "id"),
        Index(
            "ix_contact_right_party",
            "agency_id",
            "account_id",
            postgresql_where=text("conversation AND right_party AND direction = 'outbound'"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    debtor_id: Mapped[UUID]
    channel: Mapped[str]
    direction: Mapped[str]
    purpose: Mapped[str]
    recipient: Mapped[str]
    place: Mapped[str]
    connected: Mapped[bool]
    conversation: Mapped[bool]
    right_party: Mapped[bool]
    consented: Mapped[bool]
    consent_given: Mapped[bool]
    at: Mapped[Instant]
    note: Mapped[str | None]
    actor: Mapped[str]
    decision_id: Mapped[UUID]
    recorded_at: Mapped[Now]


class ContactPreference(Base):
    """When and where a debtor is not to be contacted, as they said, and their time zone where it is known.

    ``inconvenient``: a list of ``{"days": [0..6], "start": "HH:MM", "end": "HH:MM"}``, Monday is 0.
    """

    __tablename__ = "contact_preference"
    __table_args__ = (PrimaryKeyConstraint("agency_id", "debtor_id"), same_agency("debtor_id", "debtor"))

    agency_id: Mapped[UUID]
    debtor_id: Mapped[UUID]
    time_zone: Mapped[str | None]
    inconvenient: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    inconvenient_places: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    updated_at: Mapped[Now]


class ComplianceRuleSet(Base):
    """A version of a rule set, never changed: decisions are re-derived by theirs. Exempt."""

    __tablename__ = "compliance_rule_set"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[UuidKey]
    name: Mapped[str]
    version: Mapped[str]
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[Now]


class ComplianceDecision(Base):
    """What the law said to an intended contact, from which inputs. Append-only, chained to the one before.

    ``hash`` is over ``previous_hash`` and the row; ``number`` counts from 1 without gaps within an agency.
    """

    __tablename__ = "compliance_decision"
    __table_args__ = (
        PrimaryKeyConstraint("agency_id", "number"),
        UniqueConstraint("id"),
        same_agency("account_id", "account"),
        Index(None, "agency_id", "account_id", "number"),
    )

    id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    agency_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(BigInteger)
    account_id: Mapped[UUID]
    rule_set_id: Mapped[UUID] = mapped_column(ForeignKey("compliance_rule_set.id"))
    inputs: Mapped[dict[str, Any]]
    allowed: Mapped[bool]
    answer: Mapped[dict[str, Any]]
    decided_at: Mapped[Instant]
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]


class ComplianceChain(Base):
    """The last link of an agency's chain of decisions."""

    __tablename__ = "compliance_chain"

    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]
