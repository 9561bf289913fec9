"""What the processes of payments and refunds are started with."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from activities.messages import Message


class PaymentWay(StrEnum):
    """How the money of a payment comes."""

    PROVIDER = "provider"
    """Stripe is asked for it."""

    LINK = "link"
    """The debtor pays on a page of Stripe's."""

    HAND = "hand"
    """It was handed in: a check, or cash."""


class PaymentProcessInput(Message):
    """The payment whose row was written; ``way`` follows from the row and never changes.

    ``give_up_at``: until when the debtor may act, where an earlier run has set that. ``books_at_once``: its
    steps on the books are local activities; processes from before that was so go on as they began.
    """

    agency_id: UUID
    payment_id: UUID
    way: PaymentWay = PaymentWay.PROVIDER
    give_up_at: datetime | None = None
    books_at_once: bool = False


class RefundProcessInput(Message):
    """The refund whose row was written; ``by_provider``: Stripe pays it out."""

    agency_id: UUID
    payment_id: UUID
    refund_id: UUID
    by_provider: bool = True
