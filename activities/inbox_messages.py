"""Messages about what a provider has told us."""

from uuid import UUID

from activities.messages import Message


class InboxRef(Message):
    """One event of the inbox."""

    agency_id: UUID
    event_id: UUID


class InboxFailure(Message):
    """An event that could not be handled, and why."""

    agency_id: UUID
    event_id: UUID
    reason: str


class InboxOutcome(Message):
    """What became of an event: ``handled``, ``ignored``, ``unmatched`` or ``failed``; ``reason``: why."""

    status: str
    payment_id: UUID | None = None
    reason: str | None = None
