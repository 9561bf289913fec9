"""What callers send with commands to an account."""

from datetime import date
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from activities.account_messages import MAX_TEXT, DisputeOutcome
from domain.accounts import AccountStatus
from domain.card_numbers import has_card_number
from domain.holds import HoldKind
from domain.money import Money, PositiveMoney
from domain.placements import FIRST_DATE, LAST_DATE
from services.fields import Day, Form, readable

MAX_INSTALMENTS = 120


def _plain_line_breaks(value: object) -> object:
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


def no_number_in_it(value: str) -> str:
    """Text is kept, shown and logged by whoever reads it: the number of a card must not be."""
    if has_card_number(value):
        raise PydanticCustomError(
            "card_number", "must not contain the number of a card; those are never kept here"
        )
    return value


Words = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT),
    AfterValidator(readable),
    AfterValidator(no_number_in_it),
    BeforeValidator(_plain_line_breaks),
]
"""What a person writes: 1 to 2,000 characters, with line breaks, without the number of a card."""


def _near(day: date) -> date:
    if not FIRST_DATE <= day <= LAST_DATE:
        raise ValueError(f"must lie between {FIRST_DATE} and {LAST_DATE}")
    return day


NearDay = Annotated[Day, AfterValidator(_near)]
"""A day that can be meant: with those at the ends of the calendar nobody can reckon."""

YesOrNo = Annotated[bool, Field(strict=True)]
Instalments = Annotated[int, Field(strict=True, ge=1, le=MAX_INSTALMENTS)]
Percent = Annotated[Money, Field(gt=0, le=100)]


class AssignForm(Form):
    """Who is to work the account."""

    collector_id: UUID


class TransitionForm(Form):
    """Where the account is to go."""

    new_status: AccountStatus
    note: Words | None = None


class NoteForm(Form):
    """Something worth remembering about an account."""

    text: Words


class HoldForm(Form):
    """Why the account, or one way of contact, is to be left alone; ``until`` is the last day of it."""

    kind: HoldKind
    reason: Words
    until: NearDay | None = None


class DisputeForm(Form):
    """What the debtor disputes. ``new_information``: more than an earlier dispute said that was answered."""

    reason: Words
    received_on: NearDay
    in_writing: YesOrNo
    new_information: YesOrNo = False


class DisputeAnswerForm(Form):
    """What a dispute came to; ``verification_sent_on`` where the debt was verified or corrected.

    ``duplicative`` is the answer to one that repeats an answered one (``duplicate_of``); the day is then that
    of the notice which says so and refers to the earlier answer (12 CFR 1006.38(d)(2)(ii)(A)).
    """

    outcome: DisputeOutcome
    verification_sent_on: NearDay | None = None


class PromiseForm(Form):
    """What the debtor promises to pay, and by when."""

    amount: PositiveMoney
    due_date: NearDay


class OfferForm(Form):
    """For what the debt could be settled: an amount, or percent of the balance as it is now."""

    amount: PositiveMoney | None = None
    percent: Percent | None = None
    instalments: Instalments = 1
    expires_on: NearDay

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.amount is None) == (self.percent is None):
            error = PydanticCustomError("one_of", "give either an amount or a percent of the balance")
            found = InitErrorDetails(type=error, loc=("amount",), input=None)
            raise ValidationError.from_exception_data(type(self).__name__, [found], hide_input=True)
        return self


class ReasonForm(Form):
    """Why an account ends."""

    reason: Words
