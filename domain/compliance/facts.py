"""What a decision about one contact is made from: facts only, and nothing that names a person.

Facts are stored with each decision and read back when decisions are re-derived, so their JSON form is
exact: ``ContactFacts.model_validate_json(facts.model_dump_json()) == facts``.
"""

from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from domain.compliance.clocks import ZoneName

Instant = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
"""A moment, aware and in UTC."""


class Channel(StrEnum):
    """The medium of a contact."""

    CALL = "call"
    EMAIL = "email"
    SMS = "sms"
    LETTER = "letter"


class Direction(StrEnum):
    """Who started it: the agency (outbound) or the person (inbound)."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Purpose(StrEnum):
    """What a contact is for, as far as a rule asks.

    ``CONSENTED`` is a contact that the person agreed to beforehand. The last of the notices,
    ``CEASE_ACKNOWLEDGEMENT``, ``REMEDY_NOTICE`` and ``INTENDED_REMEDY``, are the three exceptions of
    12 CFR 1006.6(c)(2). ``VERIFICATION`` answers a dispute. ``LITIGATION`` is a suit or the threat of one.
    """

    GENERAL = "general"
    REMINDER = "reminder"
    CONSENTED = "consented"
    VALIDATION_NOTICE = "validation_notice"
    VERIFICATION = "verification"
    CEASE_ACKNOWLEDGEMENT = "cease_acknowledgement"
    REMEDY_NOTICE = "remedy_notice"
    INTENDED_REMEDY = "intended_remedy"
    LITIGATION = "litigation"


class Recipient(StrEnum):
    """Whom the contact is for; ``REPRESENTATIVE`` acts for the estate of somebody who has died."""

    CONSUMER = "consumer"
    REPRESENTATIVE = "representative"
    ATTORNEY = "attorney"


class Place(StrEnum):
    """Where it reaches the person."""

    HOME = "home"
    WORK = "work"
    UNKNOWN = "unknown"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attempt(_Fact):
    """One earlier contact with this person.

    ``connected``: a call reached the dialled number. Ringing that nobody answers and a voice mailbox are
    connected; a busy tone and "not in service" are not (12 CFR 1006.14(b)(3)(ii) and its comment 1).
    ``conversation``: somebody was spoken to. ``consented``: the person had agreed to it beforehand.
    ``debt``: about the very account that is judged; ``False`` is about another account of the person.
    """

    at: Instant
    channel: Channel
    direction: Direction = Direction.OUTBOUND
    connected: bool = True
    conversation: bool = False
    consented: bool = False
    debt: bool = True


class HoldFact(_Fact):
    """A hold by its kind; ``until`` is the last day on which it counts, ``None`` until it is released."""

    kind: str
    since: Instant
    until: date | None = None


class InconvenientTime(_Fact):
    """A time of the week that the person named as inconvenient, in their local time.

    ``days`` of the week, 0 is Monday; none means every day. From ``start`` to before ``end``; an ``end``
    that is not after ``start`` is on the next day (22:00 to 06:00), and both the same is the whole day.
    """

    days: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(max_length=7)] = ()
    start: time
    end: time


class ContactFacts(_Fact):
    """All that the rules may know about one contact.

    ``at`` is when it happens (or happened), ``now`` when it is judged. ``zones`` are IANA names of all
    zones that the person's telephone, address and known zone point to. ``connected`` is false of a call that,
    when it was placed, did not reach the dialled number (``Attempt``). ``attempts`` are the contacts of
    the last weeks on all accounts of the person at this agency. ``consent_at`` is the latest consent,
    given directly, to further calls about this debt. ``state`` is the person's (two letters).
    ``dispute_received_on`` is of a dispute that is open; ``dispute_in_period`` says whether it came
    within the validation period, ``verification_sent`` whether it has been answered with verification.
    ``limitation_on`` is the first day on which the debt is time-barred.
    """

    channel: Channel
    direction: Direction = Direction.OUTBOUND
    purpose: Purpose = Purpose.GENERAL
    recipient: Recipient = Recipient.CONSUMER
    place: Place = Place.UNKNOWN
    connected: bool = True
    at: Instant
    now: Instant
    zones: tuple[ZoneName, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    consent_at: Instant | None = None
    holds: tuple[HoldFact, ...] = ()
    inconvenient: tuple[InconvenientTime, ...] = ()
    inconvenient_places: tuple[Place, ...] = ()
    state: str | None = None
    status: str = "new"
    dispute_received_on: date | None = None
    dispute_in_period: bool = False
    verification_sent: bool = False
    validation_sent_on: date | None = None
    first_communication_on: date | None = None
    limitation_on: date | None = None

    def moved_to(self, at: datetime) -> Self:
        """The same contact at another moment, with nothing else changed."""
        instant = at.astimezone(UTC)
        return self.model_copy(update={"at": instant, "now": max(self.now, instant)})
