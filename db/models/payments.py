"""Payments, what became of them at the provider, plans of them, and the provider's side of it all."""

from datetime import date
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Payment(Base):
    """Money that a debtor pays on an account, or tried to.

    ``origin`` is who began it: a user's ``request``, a ``plan``, a payment ``link``, or nobody here
    (``provider``: found at Stripe). ``journal_id`` is set exactly when it is on the ledger, and never changes
    after. References of the provider: ``payment_method`` (pm_…), ``customer_ref`` (cus_…), ``processor_ref``
    (pi_…), ``charge_ref`` (ch_…), ``checkout_ref`` (cs_…); ``processor_account`` (acct_…) is where those are.
    ``reference`` and ``received_on`` are of a check or cash. ``authorised_at``: when the debtor agreed to a
    bank debit or to charges without them. ``cancel_requested_at``: when somebody here took the request back.
    """

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        UniqueConstraint("agency_id", "origin", "idempotency_key"),
        same_agency("account_id", "account"),
        same_agency("instalment_id", "plan_instalment"),
        same_agency("journal_id", "journal"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("refunded_amount BETWEEN 0 AND amount", "refunded_amount"),
        CheckConstraint("origin IN ('request', 'plan', 'link', 'provider')", "origin"),
        CheckConstraint("method IN ('card', 'bank_transfer', 'check', 'cash')", "method"),
        CheckConstraint(
            "status IN ('pending', 'processing', 'succeeded', 'failed', 'requires_action', 'refunded',"
            " 'partially_refunded', 'disputed')",
            "status",
        ),
        Index(None, "agency_id", "account_id", "id"),
        Index(
            "ix_payment_unfinished",
            "agency_id",
            "updated_at",
            postgresql_where=text("status IN ('pending', 'processing', 'requires_action')"),
        ),
        Index(None, "instalment_id", postgresql_where=text("instalment_id IS NOT NULL")),
        Index(
            "uq_payment_processor_ref",
            "agency_id",
            "processor_ref",
            unique=True,
            postgresql_where=text("processor_ref IS NOT NULL"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    instalment_id: Mapped[UUID | None]
    origin: Mapped[str]
    idempotency_key: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    method: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    refunded_amount: Mapped[Amount] = mapped_column(server_default=text("0"))
    payment_method: Mapped[str | None]
    customer_ref: Mapped[str | None]
    off_session: Mapped[bool] = mapped_column(server_default=text("false"))
    authorised_at: Mapped[Instant | None]
    reference: Mapped[str | None]
    received_on: Mapped[date | None]
    processor_ref: Mapped[str | None]
    charge_ref: Mapped[str | None]
    checkout_ref: Mapped[str | None]
    processor_account: Mapped[str | None]
    action_url: Mapped[str | None]
    action_until: Mapped[Instant | None]
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]
    cancel_requested_at: Mapped[Instant | None]
    requested_by: Mapped[str]
    journal_id: Mapped[UUID | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Refund(Base):
    """A part or all of a payment that goes back; on the ledger by ``journal_id``.

    One that was paid out and came back all the same is taken off it by ``undone_by_id``.
    """

    __tablename__ = "refund"
    __table_args__ = (
        same_agency("payment_id", "payment"),
        same_agency("journal_id", "journal"),
        same_agency("undone_by_id", "journal"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("origin IN ('request', 'provider')", "origin"),
        CheckConstraint("status IN ('pending', 'succeeded', 'failed', 'canceled')", "status"),
        Index(None, "agency_id", "payment_id", "id"),
        Index("ix_refund_unfinished", "agency_id", "updated_at", postgresql_where=text("status = 'pending'")),
        Index(
            "uq_refund_processor_ref",
            "agency_id",
            "processor_ref",
            unique=True,
            postgresql_where=text("processor_ref IS NOT NULL"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    payment_id: Mapped[UUID]
    origin: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    reason: Mapped[str | None]
    processor_ref: Mapped[str | None]
    failure_code: Mapped[str | None]
    requested_by: Mapped[str]
    journal_id: Mapped[UUID | None]
    undone_by_id: Mapped[UUID | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Chargeback(Base):
    """A payment that its payer disputes at the bank; ``status`` is Stripe's.

    ``journal_id`` took the money off the ledger, ``undone_by_id`` put it back when the dispute was won.
    ``hold_id`` is the hold that it brought, or that another chargeback had brought before.
    """

    __tablename__ = "chargeback"
    __table_args__ = (
        UniqueConstraint("agency_id", "processor_ref"),
        same_agency("payment_id", "payment"),
        same_agency("journal_id", "journal"),
        same_agency("undone_by_id", "journal"),
        CheckConstraint("amount > 0", "amount"),
        Index(None, "agency_id", "payment_id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    payment_id: Mapped[UUID]
    processor_ref: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    respond_by: Mapped[Instant | None]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id"))
    journal_id: Mapped[UUID | None]
    undone_by_id: Mapped[UUID | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class PaymentPlan(Base):
    """An agreement to pay ``total`` in instalments; at most one is active or paused on an account.

    Without a ``payment_method`` the debtor pays each instalment by themselves. ``agreed_on`` and
    ``copy_sent_on``: the debtor's agreement and the copy of it that they were sent (12 CFR 1005.10(b)).
    ``varies_down``: they agreed that other payments make single instalments smaller (12 CFR 1005.10(d)).
    ``counted_from``: the due date from which the rhythm of what is left is counted. ``paused_because``: asked
    (by somebody), or what forbids payments for a while, which ends the pause when it ends. ``next_look_at``:
    when its workflow is to look at it next; null where that waits for somebody.
    """

    __tablename__ = "payment_plan"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        same_agency("account_id", "account"),
        same_agency("offer_id", "settlement_offer"),
        CheckConstraint("status IN ('active', 'paused', 'completed', 'broken', 'cancelled')", "status"),
        CheckConstraint("frequency IN ('weekly', 'biweekly', 'monthly')", "frequency"),
        CheckConstraint("method IN ('card', 'bank_transfer')", "method"),
        CheckConstraint("(status = 'paused') = (paused_because IS NOT NULL)", "paused_because"),
        CheckConstraint("total > 0", "total"),
        Index(None, "agency_id", "account_id", "id"),
        Index(None, "agency_id", "id"),
        Index(
            "uq_payment_plan_open",
            "account_id",
            unique=True,
            postgresql_where=text("status IN ('active', 'paused')"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    account_id: Mapped[UUID]
    offer_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default="active")
    total: Mapped[Amount]
    currency: Mapped[str]
    frequency: Mapped[str]
    first_due: Mapped[date]
    counted_from: Mapped[date]
    method: Mapped[str | None]
    payment_method: Mapped[str | None]
    customer_ref: Mapped[str | None]
    agreed_on: Mapped[date]
    copy_sent_on: Mapped[date | None]
    varies_down: Mapped[bool] = mapped_column(server_default=text("true"))
    made_by: Mapped[str]
    paused_because: Mapped[str | None]
    ended_because: Mapped[str | None]
    next_look_at: Mapped[Instant | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    ended_at: Mapped[Instant | None]


class PlanInstalment(Base):
    """One instalment of a plan: due on ``due_on``, asked for on ``collect_on``, a day on which banks work.

    ``tries`` counts its payments, the last of which is ``payment_id``. Of those by the plan's own method
    ``asked_on`` is the last day; since the day agreed on, ``asked_at`` is the first time, ``declines`` how
    often it was in vain. ``next_try_on``: when it is asked for next; of a missed one the last day of grace.
    ``judged_on``: the business day after grace by whose end what had come in is to be entered.
    """

    __tablename__ = "plan_instalment"
    __table_args__ = (
        UniqueConstraint("agency_id", "id"),
        UniqueConstraint("plan_id", "number"),
        same_agency("plan_id", "payment_plan"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("status IN ('scheduled', 'collecting', 'paid', 'missed', 'cancelled')", "status"),
        CheckConstraint("declines BETWEEN 0 AND 3", "declines"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID]
    plan_id: Mapped[UUID]
    number: Mapped[int]
    amount: Mapped[Amount]
    due_on: Mapped[date]
    collect_on: Mapped[date]
    status: Mapped[str] = mapped_column(server_default="scheduled")
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    declines: Mapped[int] = mapped_column(server_default=text("0"))
    asked_on: Mapped[date | None]
    asked_at: Mapped[Instant | None]
    next_try_on: Mapped[date | None]
    judged_on: Mapped[date | None]
    payment_id: Mapped[UUID | None]
    paid_at: Mapped[Instant | None]


class StripeCredentials(Base):
    """An agency's way into its Stripe account; the secrets are encrypted.

    ``webhook_ref`` (we_…) and ``webhook_url`` are of the endpoint that was registered from here.
    """

    __tablename__ = "stripe_credentials"

    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    secret_key_encrypted: Mapped[bytes]
    webhook_secret_encrypted: Mapped[bytes | None]
    account_ref: Mapped[str] = mapped_column(unique=True)
    webhook_ref: Mapped[str | None]
    webhook_url: Mapped[str | None]
    changed_by: Mapped[str]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class InboxEvent(Base):
    """A fact that a provider has told us, as it was sent; whose it is, its signature says.

    ``status``: received, then handled; ignored (a kind that changes nothing here), unmatched (about a payment
    that nobody here knows), failed (tried again). ``reason`` says why.
    """

    __tablename__ = "inbox_event"
    __table_args__ = (
        UniqueConstraint("agency_id", "provider", "event_ref"),
        CheckConstraint("status IN ('received', 'handled', 'ignored', 'unmatched', 'failed')", "status"),
        Index(
            "ix_inbox_event_unhandled",
            "agency_id",
            "received_at",
            postgresql_where=text("status IN ('received', 'unmatched', 'failed')"),
        ),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    provider: Mapped[str]
    event_ref: Mapped[str]
    type: Mapped[str]
    object_ref: Mapped[str | None]
    intent_ref: Mapped[str | None]
    body: Mapped[bytes]
    occurred_at: Mapped[Instant]
    received_at: Mapped[Now]
    status: Mapped[str] = mapped_column(server_default="received")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    handled_at: Mapped[Instant | None]


class PaymentReconciliationRun(Base):
    """One comparison of our payments with Stripe's over ``[since, until)``."""

    __tablename__ = "payment_reconciliation"
    __table_args__ = (
        CheckConstraint("origin IN ('manual', 'schedule')", "origin"),
        CheckConstraint("status IN ('running', 'completed', 'failed')", "status"),
        Index(None, "agency_id", "id"),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    origin: Mapped[str]
    requested_by: Mapped[str]
    since: Mapped[Instant]
    until: Mapped[Instant]
    status: Mapped[str] = mapped_column(server_default="running")
    looked_up: Mapped[int] = mapped_column(server_default=text("0"))
    mended: Mapped[int] = mapped_column(server_default=text("0"))
    breaks: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    created_at: Mapped[Now]
    completed_at: Mapped[Instant | None]


class ProcessorItem(Base):
    """A charge, refund or dispute as a reconciliation has it from Stripe; there until the run has ended."""

    __tablename__ = "processor_item"
    __table_args__ = (
        CheckConstraint("kind IN ('charge', 'refund', 'dispute')", "kind"),
        Index(None, "run_id", "intent_ref"),
    )

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("payment_reconciliation.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(primary_key=True)
    agency_id: Mapped[UUID]
    intent_ref: Mapped[str | None]
    status: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
