"""Messages of the cases of breaks."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from activities.messages import Message


class BreakRef(Message):
    """One break: the input of ``BreakCase``."""

    agency_id: UUID
    break_id: UUID


class BreakStanding(Message):
    """Where a break stands: a cursor, never an amount of money.

    ``over``: nothing is left for a case to do, because it is resolved or nobody works it any more.
    ``to_tell``: word is to be sent to the partner. ``look_at``: until when it is to be answered; None once it
    is escalated. ``stated_at``: when the other side said the same again, since the case began.
    """

    state: Literal["open", "proposed", "resolved"]
    resolution: str | None = None
    over: bool = False
    to_tell: bool = False
    look_at: datetime | None = None
    escalated: bool = False
    stated_at: datetime | None = None


class UndeliveredWord(Message):
    """Word that a partner could not be sent, and why."""

    agency_id: UUID
    break_id: UUID
    reason: str


class NewsOfBreaks(Message):
    """A reconciliation with a partner has ended: cases are started for what it found, and told of it."""

    agency_id: UUID
    partner_id: UUID
    run_id: UUID


class CasesSeenTo(Message):
    """How many cases were started, and how many of those that ran were told."""

    started: int
    told: int
