"""Reconciliations: runs, statements and their lines, what was matched, and the queue of breaks."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class PartnerReconciliationRun(Base):
    """One comparison of a partner's records with ours; at most one per partner is pending or running.

    ``lines``: of the statements that it closed; ``problems``: those that could not be read; ``matched``:
    those with their account or payment found; ``breaks``: opened; ``resolved``: by rules; ``cured``: gone by
    themselves. ``report``: figures by kind, age and rule. ``workflow_id``: the one that carries it out.
    """

    __tablename__ = "partner_reconciliation"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        same_agency("partner_id", "partner"),
        CheckConstraint("origin IN ('manual', 'schedule')", "origin"),
        CheckConstraint("scope IN ('full', 'messages')", "scope"),
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", "status"),
        Index(None, "agency_id", "id"),
        Index(
            "uq_partner_reconciliation_going",
            "partner_id",
            unique=True,
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    origin: Mapped[str]
    requested_by: Mapped[str]
    scope: Mapped[str] = mapped_column(server_default="full")
    dry_run: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[str] = mapped_column(server_default="pending")
    step: Mapped[str | None]
    workflow_id: Mapped[str | None]
    rules_version: Mapped[int | None]
    lines: Mapped[int] = mapped_column(server_default=text("0"))
    problems: Mapped[int] = mapped_column(server_default=text("0"))
    matched: Mapped[int] = mapped_column(server_default=text("0"))
    breaks: Mapped[int] = mapped_column(server_default=text("0"))
    resolved: Mapped[int] = mapped_column(server_default=text("0"))
    cured: Mapped[int] = mapped_column(server_default=text("0"))
    report: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    reason: Mapped[str | None]
    created_at: Mapped[Now]
    started_at: Mapped[Instant | None]
    completed_at: Mapped[Instant | None]


class Statement(Base):
    """What a partner says, staged: a file, or the messages since the last one was closed.

    ``state``: open (lines are still coming), staged (a file, read to its end), closed by ``run_id``, or
    refused for ``reason``. ``cursor`` is committed with the lines that it counts. ``oldest_at`` and
    ``newest_at`` span its readable lines: ``processed_at``, or the day of payment. ``put_away_at``: when its
    file left the partner's folder. ``as_of``: the ``file_mtime`` of bytes that were stated before and now
    are of another time, else 0.
    """

    __tablename__ = "statement"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        same_agency("partner_id", "partner"),
        same_agency("run_id", "partner_reconciliation"),
        CheckConstraint("channel IN ('file', 'messages')", "channel"),
        CheckConstraint("state IN ('open', 'staged', 'closed', 'refused')", "state"),
        Index(None, "agency_id", "partner_id", "id"),
        Index(
            "uq_statement_content",
            "partner_id",
            "sha256",
            "as_of",
            unique=True,
            postgresql_where=text("channel = 'file' AND state <> 'refused'"),
        ),
        Index(
            "uq_statement_messages",
            "partner_id",
            unique=True,
            postgresql_where=text("channel = 'messages' AND state = 'open'"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    channel: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="open")
    name: Mapped[str | None]
    location: Mapped[str | None]
    sha256: Mapped[str | None]
    file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    file_mtime: Mapped[int | None] = mapped_column(BigInteger)
    as_of: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cursor: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    lines: Mapped[int] = mapped_column(server_default=text("0"))
    problems: Mapped[int] = mapped_column(server_default=text("0"))
    oldest_at: Mapped[Instant | None]
    newest_at: Mapped[Instant | None]
    run_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    created_at: Mapped[Now]
    closed_at: Mapped[Instant | None]
    put_away_at: Mapped[Instant | None]


class StatementLine(Base):
    """One line of a statement: an account's balance and status, or a payment, or why it could not be read.

    ``digest`` of a message's partner and content: the same message again changes nothing. Written by the
    million, so without a foreign key, which would double the time: they are added under the lock of their
    statement, and removed with it.
    """

    __tablename__ = "statement_line"
    __table_args__ = (
        Index("uq_statement_line_digest", "digest", unique=True, postgresql_where=text("digest IS NOT NULL")),
        Index(
            "ix_statement_line_problem", "statement_id", "line", postgresql_where=text("problem IS NOT NULL")
        ),
    )

    statement_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    account_ref: Mapped[str | None]
    debtor_ref: Mapped[str | None]
    balance: Mapped[Amount | None]
    status: Mapped[str | None]
    currency: Mapped[str | None]
    processed_at: Mapped[Instant | None]
    payment_ref: Mapped[str | None]
    amount: Mapped[Amount | None]
    paid_on: Mapped[date | None]
    payer: Mapped[str | None]
    problem: Mapped[str | None]
    digest: Mapped[bytes | None]


class PaymentMatch(Base):
    """A line of a statement about money, with the payment of ours that it is, or is part of.

    ``item_id`` is that of the payment, or of the refund or chargeback of it that the line is.
    """

    __tablename__ = "payment_match"
    __table_args__ = (Index(None, "agency_id", "payment_id"), Index(None, "partner_id", "item_id"))

    statement_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    run_id: Mapped[UUID]
    rule: Mapped[str]
    amount: Mapped[Amount]


class ReconciliationBreak(Base):
    """A difference between our books and somebody else's, until it is resolved.

    ``subject``: what it is about, by the other side's id or reference. ``seen_at``: when it was there last.
    ``value``: the money at risk, zero or more. ``answer_due_at``: until when its case waits for an answer.
    ``item_id``: the payment, refund or chargeback that ``journal_id`` was posted for, where it is one.
    ``approval_limit``: its partner's when it was found. ``told_at``: since when the partner has, or is to be
    sent, word that our record stands, and its answer is waited for.
    """

    __tablename__ = "reconciliation_break"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        same_agency("payment_id", "payment"),
        same_agency("partner_id", "partner"),
        same_agency("journal_id", "journal"),
        CheckConstraint("source IN ('processor', 'partner')", "source"),
        CheckConstraint(
            "kind IN ('balance', 'status', 'missing_here', 'missing_there', 'duplicate', 'ambiguous',"
            " 'timing', 'fee', 'currency', 'stale')",
            "kind",
        ),
        CheckConstraint("state IN ('open', 'proposed', 'resolved')", "state"),
        CheckConstraint(
            "resolution IN ('accept_theirs', 'keep_ours', 'write_off', 'explain', 'rule', 'cured')",
            "resolution",
        ),
        CheckConstraint("(state = 'resolved') = (resolution IS NOT NULL)", "resolved"),
        Index(None, "agency_id", "id"),
        Index(
            "uq_reconciliation_break_processor",
            "agency_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text("source = 'processor' AND state <> 'resolved'"),
        ),
        Index(
            "uq_reconciliation_break_partner",
            "partner_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text("source = 'partner' AND state <> 'resolved'"),
        ),
        Index(
            "ix_reconciliation_break_queue",
            "agency_id",
            "found_at",
            "id",
            postgresql_where=text("state <> 'resolved'"),
        ),
        Index(None, "run_id", postgresql_where=text("run_id IS NOT NULL")),
        Index(None, "agency_id", "item_id", postgresql_where=text("item_id IS NOT NULL")),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    source: Mapped[str] = mapped_column(server_default="processor")
    kind: Mapped[str]
    subject: Mapped[str]
    partner_id: Mapped[UUID | None]
    run_id: Mapped[UUID | None]
    seen_run_id: Mapped[UUID | None]
    account_id: Mapped[UUID | None]
    account_ref: Mapped[str | None]
    payment_id: Mapped[UUID | None]
    statement_id: Mapped[UUID | None]
    line: Mapped[int | None]
    ours: Mapped[Amount | None]
    theirs: Mapped[Amount | None]
    ours_status: Mapped[str | None]
    theirs_status: Mapped[str | None]
    theirs_at: Mapped[Instant | None]
    difference: Mapped[Amount | None]
    value: Mapped[Amount] = mapped_column(server_default=text("0"))
    currency: Mapped[str]
    rule: Mapped[str] = mapped_column(server_default="processor")
    probable_cause: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="open")
    owner_id: Mapped[UUID | None]
    resolution: Mapped[str | None]
    resolution_note: Mapped[str | None]
    resolved_by: Mapped[str | None]
    journal_id: Mapped[UUID | None]
    item_id: Mapped[UUID | None]
    approval_limit: Mapped[Amount | None]
    found_at: Mapped[Now]
    seen_at: Mapped[Now]
    resolved_at: Mapped[Instant | None]
    told_at: Mapped[Instant | None]
    case_started_at: Mapped[Instant | None]
    answer_due_at: Mapped[Instant | None]
    escalated_at: Mapped[Instant | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class PartnerRunBreak(Base):
    """A break that a run has opened, or found to be there still.

    Written by the hundred thousand, so without foreign keys; kept of a partner's newest runs only.
    """

    __tablename__ = "partner_run_break"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    break_id: Mapped[UUID] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]


class BreakProposal(Base):
    """How somebody wants to resolve a break, with the two amounts that they saw; another decides."""

    __tablename__ = "break_proposal"
    __table_args__ = (
        same_agency("break_id", "reconciliation_break"),
        CheckConstraint("resolution IN ('accept_theirs', 'keep_ours', 'write_off', 'explain')", "resolution"),
        CheckConstraint("state IN ('open', 'approved', 'rejected', 'withdrawn')", "state"),
        Index(None, "agency_id", "break_id"),
        Index("uq_break_proposal_open", "break_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    break_id: Mapped[UUID]
    resolution: Mapped[str]
    note: Mapped[str]
    ours: Mapped[Amount | None]
    theirs: Mapped[Amount | None]
    state: Mapped[str] = mapped_column(server_default="open")
    proposed_by: Mapped[UUID]
    proposed_by_name: Mapped[str]
    decided_by_name: Mapped[str | None]
    created_at: Mapped[Now]
    decided_at: Mapped[Instant | None]


class PartnerMessage(Base):
    """Word to a partner that our record stands against theirs: one for each break.

    ``state``: pending, delivered to ``target``, or failed for ``last_problem``. Both sides are as they were
    when it was decided; every attempt sends the same bytes.
    """

    __tablename__ = "partner_message"
    __table_args__ = (
        same_agency("partner_id", "partner"),
        same_agency("break_id", "reconciliation_break"),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", "state"),
        Index("uq_partner_message_break_id", "break_id", unique=True),
        Index(None, "agency_id", "partner_id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    break_id: Mapped[UUID]
    account_ref: Mapped[str | None]
    balance: Mapped[Amount | None]
    status: Mapped[str | None]
    payment_id: Mapped[UUID | None]
    their_balance: Mapped[Amount | None]
    their_status: Mapped[str | None]
    currency: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    target: Mapped[str | None]
    last_problem: Mapped[str | None]
    created_at: Mapped[Now]
    delivered_at: Mapped[Instant | None]
