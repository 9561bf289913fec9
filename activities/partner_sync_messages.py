"""Messages of what is sent to partners."""

from typing import Literal
from uuid import UUID

from activities.messages import Message

ACTOR = "partner-sync"


class SyncRequest(Message):
    """Send a partner the accounts of high priority.

    ``everything``: all of them, or only what has changed since they were sent. ``scoring_run_id``: the run
    that has led to it, if one has. ``first``: the number of the batch to go on with.
    """

    agency_id: UUID
    partner_id: UUID
    sync_id: UUID
    origin: Literal["manual", "scoring"] = "scoring"
    requested_by: str = ACTOR
    scoring_run_id: UUID | None = None
    everything: bool = True
    first: int = 1


class SyncRef(Message):
    """One sending and how many batches it has; ``over`` when it had ended before it was asked for."""

    agency_id: UUID
    sync_id: UUID
    batches: int = 0
    over: bool = False


class BatchRef(Message):
    """One batch of a sending."""

    agency_id: UUID
    sync_id: UUID
    number: int


class UndeliveredBatch(Message):
    """A batch that is given up, and why."""

    agency_id: UUID
    sync_id: UUID
    number: int
    reason: str


class SyncEnd(Message):
    """A sending that has come to its end; ``reason``: why it did so before all was tried."""

    agency_id: UUID
    sync_id: UUID
    reason: str | None = None


class SyncSummary(Message):
    """What a sending came to, in accounts; only what the partner has confirmed is ``delivered``."""

    sync_id: UUID
    status: str
    total: int
    delivered: int
    reason: str | None = None
