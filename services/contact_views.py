"""Contacts, the law's answers and debtors' preferences: as callers send them and as they are shown."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from domain.compliance import Allowed, Channel, Decision, Direction, Place, Purpose, Recipient
from domain.errors import Conflict
from services.account_command_forms import no_number_in_it
from services.fields import Form, TimeZone, View, visible

if TYPE_CHECKING:
    from db.models import ComplianceDecision, Contact
    from domain.compliance import Denied

MAX_NOTE = 2_000
MAX_WINDOWS = 50
EARLIEST_YEAR, LATEST_YEAR = 1970, 2199

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_NOTICE_CHANNELS = frozenset({Channel.LETTER, Channel.EMAIL})


def _instant(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and _INSTANT.fullmatch(value)):
        return value
    raise ValueError("must be an instant with its offset, such as 2026-03-31T14:00:00-05:00")


def _within_reason(value: datetime) -> datetime:
    if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        raise ValueError(f"must be in the years {EARLIEST_YEAR} to {LATEST_YEAR}")
    return value.astimezone(UTC)


def _note(value: object) -> object:
    return (value.replace("\r\n", "\n").strip() or None) if isinstance(value, str) else value


def _legible(value: str) -> str:
    if len(value) > MAX_NOTE:
        raise ValueError(f"must have at most {MAX_NOTE:,} characters")
    if any(c not in "\n\t" and unicodedata.category(c) in {"Cc", "Zl", "Zp"} for c in value):
        raise ValueError("must not contain control characters other than line breaks and tabs")
    return visible(value)


def _clock(value: object) -> object:
    if isinstance(value, str) and _CLOCK.fullmatch(value):
        return value
    raise ValueError("must be a time of day such as 08:30")


Moment = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_within_reason)]
"""An instant that says its offset; kept in UTC."""

Note = Annotated[
    Annotated[str, AfterValidator(_legible), AfterValidator(no_number_in_it)] | None, BeforeValidator(_note)
]
"""Free text of at most 2,000 characters, without the number of a card; nothing but white space is no note."""

Flag = Annotated[bool, Field(strict=True)]
Clock = Annotated[str, BeforeValidator(_clock)]
WeekDay = Annotated[int, Field(strict=True, ge=0, le=6)]


def purpose_fault(channel: Channel, purpose: Purpose) -> str | None:
    """Why a contact through this medium cannot be for this; None where it can."""
    if purpose is Purpose.VALIDATION_NOTICE and channel not in _NOTICE_CHANNELS:
        return "a validation notice is sent as a letter or e-mail (12 CFR 1006.34)"
    return None


class ContactForm(Form):
    """A contact that was made, or is being made now.

    ``connected``: a call reached the number dialled, also when nobody or a mailbox answered; unless it is
    denied, a call counts. ``conversation``: somebody spoke. ``right_party``: with the person, as a
    conversation is taken for unless it is denied. ``at``: now unless said. ``consent_given``: in the
    conversation the person agreed to be called again within the next days.
    """

    channel: Channel
    direction: Direction
    connected: Flag = True
    conversation: Flag = False
    right_party: Flag | None = None
    purpose: Purpose = Purpose.GENERAL
    at: Moment | None = None
    note: Note = None
    recipient: Recipient = Recipient.CONSUMER
    place: Place = Place.UNKNOWN
    consent_given: Flag = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        faults = {}
        if self.channel is Channel.CALL and self.conversation and not self.connected:
            faults["conversation"] = "there is none in a call that was not connected"
        if self.consent_given and not (self.conversation and self.with_right_party):
            faults["consent_given"] = "is given by the person, in a conversation with them"
        if fault := purpose_fault(self.channel, self.purpose):
            faults["purpose"] = fault
        if faults:
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(type=PydanticCustomError("contact", message), loc=(name,), input=None)
                    for name, message in faults.items()
                ],
                hide_input=True,
            )
        return self

    @property
    def with_right_party(self) -> bool:
        """Whether the person themselves was reached."""
        return self.conversation if self.right_party is None else self.right_party


class ContactView(View):
    """A contact as it was logged."""

    id: UUID
    account_id: UUID
    channel: Channel
    direction: Direction
    purpose: Purpose
    recipient: Recipient
    place: Place
    connected: bool
    conversation: bool
    right_party: bool
    consented: bool = Field(description="the person had agreed to it, so that it does not count as a call")
    consent_given: bool
    at: datetime
    note: str | None
    actor: str
    decision_id: UUID
    recorded_at: datetime


class LoggedContact(ContactView):
    """A contact that was just logged; ``notes`` say what it has to carry or what is due soon."""

    notes: tuple[str, ...]


class ContactAnswer(View):
    """What the law says of a contact. ``retry_at``: the earliest moment at which it would be allowed, with
    nothing else changed; null when it is, or when time alone does not help."""

    allowed: bool
    rule: str | None
    citation: str | None
    retry_at: datetime | None
    explanation: str | None
    notes: tuple[str, ...]
    rule_set: str = Field(description="name@version")
    at: datetime
    decision_id: UUID


class RuleSetRef(View):
    """A version of a rule set."""

    name: str
    version: str


class DecisionView(View):
    """What the law said, from what, by which rules; ``hash`` is over ``previous_hash`` and this entry."""

    id: UUID
    number: int = Field(description="within the agency, without gaps")
    account_id: UUID
    allowed: bool
    rule: str | None
    citation: str | None
    retry_at: datetime | None
    explanation: str | None
    notes: tuple[str, ...]
    rule_set: RuleSetRef
    inputs: dict[str, Any]
    decided_at: datetime
    previous_hash: str
    hash: str


class InconvenientWindow(Form):
    """A time of the week at which the person does not want to be contacted, in their local time.

    Day 0 is Monday; no day is every day. An ``end`` that is not after ``start`` is on the next day.
    """

    days: Annotated[tuple[WeekDay, ...], Field(max_length=7)] = ()
    start: Clock
    end: Clock


class PreferenceForm(Form):
    """All that a debtor said of being contacted: what is left out is forgotten."""

    time_zone: TimeZone | None = None
    inconvenient: Annotated[tuple[InconvenientWindow, ...], Field(max_length=MAX_WINDOWS)] = ()
    inconvenient_places: Annotated[tuple[Literal[Place.HOME, Place.WORK], ...], Field(max_length=2)] = ()

    def values(self) -> dict[str, Any]:
        """As it is stored: days and places once each, in order."""
        return {
            "time_zone": self.time_zone,
            "inconvenient": [
                {"days": sorted(set(window.days)), "start": window.start, "end": window.end}
                for window in self.inconvenient
            ],
            "inconvenient_places": sorted({place.value for place in self.inconvenient_places}),
        }


class PreferenceView(View):
    """When and where a debtor is not to be contacted.

    ``zones`` are the time zones that telephone, address and ``time_zone`` point to; times count in all.
    """

    debtor_id: UUID
    time_zone: str | None
    inconvenient: tuple[InconvenientWindow, ...]
    inconvenient_places: tuple[Place, ...]
    zones: tuple[str, ...]
    updated_at: datetime | None


class ContactRefused(Conflict):
    """The law, or the agency's own rule, forbids this contact; says which, and when it may be tried."""

    type = "contact-refused"
    title = "Contact refused"


def refusal(denied: "Denied", decision_id: UUID) -> ContactRefused:
    """The refusal that a denial is to the caller."""
    shown = denied.model_dump(mode="json", include={"rule", "citation", "retry_at", "explanation"})
    return ContactRefused(f"{denied.explanation} ({denied.citation})", **shown, decision_id=str(decision_id))


def answer(decision: Decision, at: datetime, decision_id: UUID) -> ContactAnswer:
    """A decision as the answer to a question."""
    return ContactAnswer(
        **_said(decision.model_dump(mode="json")),
        rule_set=decision.rule_set,
        at=at,
        decision_id=decision_id,
    )


def logged(contact: "Contact", decision: Allowed) -> LoggedContact:
    """A contact that was just logged."""
    return LoggedContact(**ContactView.model_validate(contact).model_dump(), notes=decision.notes)


def decision_view(row: "ComplianceDecision", rule_set: tuple[str, str]) -> DecisionView:
    """A decision of the log; ``rule_set`` is name and version."""
    name, version = rule_set
    return DecisionView(
        **_said(row.answer),
        id=row.id,
        number=row.number,
        account_id=row.account_id,
        rule_set=RuleSetRef(name=name, version=version),
        inputs=row.inputs,
        decided_at=row.decided_at,
        previous_hash=bytes(row.previous_hash).hex(),
        hash=bytes(row.hash).hex(),
    )


def _said(stored: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rule", "citation", "retry_at", "explanation")
    return {
        "allowed": stored["allowed"],
        "notes": tuple(stored.get("notes", ())),
        **{name: stored.get(name) for name in names},
    }
