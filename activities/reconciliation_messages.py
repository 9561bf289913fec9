"""Messages of the reconciliation with the payment provider."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from activities.messages import Message

ACTOR = "payment-reconciliation"


class ReconciliationRequest(Message):
    """What is to be compared: what Stripe has made since ``since``, by default three days ago.

    ``run_id`` is that of a run that is announced already, if one is.
    """

    agency_id: UUID
    origin: Literal["manual", "schedule"] = "schedule"
    run_id: UUID | None = None
    requested_by: str = ACTOR
    since: datetime | None = None


class ReconciliationRef(Message):
    """One run; ``over`` when it had ended before it was asked for."""

    agency_id: UUID
    run_id: UUID
    over: bool = False


class LookUp(Message):
    """Look up what is not final, behind ``after``, a payment's id."""

    agency_id: UUID
    after: UUID | None = None


class LookedUp(Message):
    """What a batch came to, in payments; ``after`` is the last one, None when there are no more."""

    looked_up: int
    changed: int
    after: UUID | None = None


class Mend(Message):
    """Mend what differs, behind ``after``, an intent's id at Stripe."""

    agency_id: UUID
    run_id: UUID
    after: str = ""


class Mended(Message):
    """What a batch came to, in intents; ``after`` is the last one, None when there are no more."""

    looked_up: int
    changed: int
    after: str | None = None


class Conclusion(Message):
    """What a run has counted, to be written down with what it has found."""

    agency_id: UUID
    run_id: UUID
    looked_up: int
    mended: int


class FailedReconciliation(Message):
    """A run that cannot go on, and why."""

    agency_id: UUID
    run_id: UUID
    reason: str


class ReconciliationSummary(Message):
    """What a run came to: payments looked up and mended, differences that stay."""

    run_id: UUID
    status: str
    looked_up: int
    mended: int
    breaks: int


class SweepRequest(Message):
    """Start what waits in an agency; ``every``: also events that would be tried again later."""

    agency_id: UUID
    every: bool = False


class Swept(Message):
    """How many processes were seen to, and how many events."""

    payments: int
    refunds: int
    events: int
