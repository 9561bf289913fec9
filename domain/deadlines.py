"""What an account waits for: deadlines, derived from the facts, each by itself."""

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

PROMISE_GRACE_DAYS = 3
"""A promise to pay is given this many days after its due date to arrive: banks take them."""

MOST_DAYS_AHEAD = 366
"""How far ahead a promise to pay or an offer may be: what is later is no plan, and hides the account."""

MOST_HOLD_DAYS_AHEAD = 10 * 366
"""How far ahead the end of a hold may be; longer ones have no end."""

MOST_DAYS_BACK = 10 * 366
"""How far back what is entered late may have happened: beyond every period that a rule looks at, so that
more is a year typed wrong, which nobody can take back."""

SETTLEMENT_PAY_DAYS = 30
"""An accepted settlement that no plan pays lapses so many days after it was accepted, or after its plan has
ended, unless the offer itself was good for longer."""

DISPUTE_ANSWER_DAYS = 30
"""A dispute that is not answered for this many days after it came in is escalated."""

LAST_ZONE = "Etc/GMT+12"
"""The time zone in which each day ends last, twelve hours after UTC."""


class DeadlineKind(StrEnum):
    """What happens when its time has come."""

    FOLLOW_UP = "follow_up"
    VALIDATION_END = "validation_end"
    PROMISE_DUE = "promise_due"
    OFFER_EXPIRY = "offer_expiry"
    SETTLEMENT_DUE = "settlement_due"
    DISPUTE_ANSWER = "dispute_answer"
    HOLD_END = "hold_end"
    LIMITATION = "limitation"

    @property
    def words(self) -> str:
        """For people: what is waited for."""
        return _WORDS[self]


_WORDS = {
    DeadlineKind.FOLLOW_UP: "follow-up: nothing has happened for a while",
    DeadlineKind.VALIDATION_END: "validation period over",
    DeadlineKind.PROMISE_DUE: "promise due, with grace",
    DeadlineKind.OFFER_EXPIRY: "settlement offer expires",
    DeadlineKind.SETTLEMENT_DUE: "settlement to be paid, or it lapses",
    DeadlineKind.DISPUTE_ANSWER: "dispute to be answered, or escalated",
    DeadlineKind.HOLD_END: "hold ends",
    DeadlineKind.LIMITATION: "statute of limitations reached",
}


class Deadline(BaseModel):
    """A moment at which something happens by itself; ``subject_id`` is the promise, offer, … it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DeadlineKind
    at: datetime
    subject_id: UUID | None = None

    @property
    def name(self) -> str:
        """What it is noted under when it was reached: of two disputes of one day each has its own."""
        return self.kind.value if self.subject_id is None else f"{self.kind.value}/{self.subject_id}"


def end_of_day(day: date, zone: str) -> datetime:
    """The first instant after ``day`` in an IANA time zone."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone))


def start_of_day(day: date, zone: str) -> datetime:
    """The first instant of ``day`` in an IANA time zone."""
    return datetime.combine(day, time(), ZoneInfo(zone))


def hold_deadline(until: date) -> datetime:
    """When a hold ends: after its last day in the last zone on earth.

    Wherever the person is, their last day is over by then, as it is for the rule on contacts, which counts
    in every zone that they may be in; nobody is worked while they may still not be spoken to.
    """
    return end_of_day(until, LAST_ZONE)


def promise_deadline(due_date: date, zone: str) -> datetime:
    """When a promise is judged: after its last day of grace, in the agency's zone."""
    return end_of_day(due_date + timedelta(days=PROMISE_GRACE_DAYS), zone)


def dispute_deadline(received_on: date, zone: str) -> datetime:
    """When a dispute that is still open is escalated."""
    return end_of_day(received_on + timedelta(days=DISPUTE_ANSWER_DAYS), zone)
