"""Messages about payments: what the provider says of one, in few facts, and where it then stands."""

from datetime import datetime
from uuid import UUID

from activities.messages import Message
from domain.money import Money
from domain.payments import PaymentStatus


class PaymentRef(Message):
    """One payment."""

    agency_id: UUID
    payment_id: UUID


class RefundRef(Message):
    """One refund of a payment."""

    agency_id: UUID
    payment_id: UUID
    refund_id: UUID


class PaymentFailure(Message):
    """A payment that took nothing: why, as a code and in words for people."""

    agency_id: UUID
    payment_id: UUID
    code: str
    message: str


class RefundFailure(Message):
    """A refund that the provider did not make: why, as a code and in words for people."""

    agency_id: UUID
    payment_id: UUID
    refund_id: UUID
    code: str
    message: str


class IntentFacts(Message):
    """A Stripe payment intent at one moment; ``status`` is Stripe's word.

    ``created`` is when the intent was made; ``failure_code`` is the issuer's reason where it gave one.
    """

    intent_ref: str
    status: str
    amount_received: Money
    currency: str
    created: datetime
    charge_ref: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    action_url: str | None = None


class RefundFacts(Message):
    """A Stripe refund at one moment; ``refund_id`` is ours, where it was made here."""

    refund_ref: str
    status: str
    amount: Money
    currency: str
    created: datetime
    refund_id: UUID | None = None
    failure_code: str | None = None


class DisputeFacts(Message):
    """A Stripe dispute at one moment. ``inquiry``: the bank only asks, no money was taken back."""

    dispute_ref: str
    status: str
    reason: str
    amount: Money
    currency: str
    created: datetime
    inquiry: bool
    respond_by: datetime | None = None


class PaymentView(Message):
    """Where a payment stands; a cursor, never an amount of money.

    ``by_provider``: Stripe takes it. ``intent_ref`` is its intent there, ``action_until`` until when the
    debtor may act.
    """

    payment_id: UUID
    account_id: UUID
    status: PaymentStatus
    by_provider: bool
    intent_ref: str | None = None
    failure_code: str | None = None
    action_until: datetime | None = None
