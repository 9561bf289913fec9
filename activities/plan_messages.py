"""Messages about payment plans: which one, where it stands, how it is paid."""

from datetime import date, datetime
from uuid import UUID

from activities.messages import Message

METHOD_REFUSED = "the payment method was refused"
"""How the reason begins for which a plan has ended whose method the provider does not take."""


class PlanRef(Message):
    """One payment plan."""

    agency_id: UUID
    plan_id: UUID


class PaymentUnderWay(Message):
    """A payment of an instalment, and the key that its process is known by."""

    payment_id: UUID
    key: str


class PlanStanding(Message):
    """Where a plan stands and what is next; a cursor, never an amount of money.

    ``number`` is the next instalment of ``of``, due on ``due_on``. ``payment`` is under way for it.
    ``look_at`` is when something happens by itself. ``needs_method``: its payment method is yet to be kept
    at the provider.
    """

    status: str
    of: int
    number: int | None = None
    due_on: date | None = None
    payment: PaymentUnderWay | None = None
    look_at: datetime | None = None
    needs_method: bool = False

    @property
    def over(self) -> bool:
        """Whether it is completed, broken or cancelled, with no payment under way any more."""
        return self.status not in {"active", "paused"} and self.payment is None


class KeptMethod(Message):
    """A payment method that the provider keeps for a customer; ``method`` is card or bank_transfer."""

    agency_id: UUID
    plan_id: UUID
    customer_ref: str
    payment_method: str
    method: str


class RefusedMethod(Message):
    """A payment method that the provider does not take, in words for people."""

    agency_id: UUID
    plan_id: UUID
    reason: str
