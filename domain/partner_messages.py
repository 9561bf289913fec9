"""What a partner says in a message: each is judged alone, so that a bad one stops no other."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from domain.money import MAX_AMOUNT, Money
from domain.statement_lines import RefusedLine, StatedLine
from domain.statement_profiles import StatementProfile, status_key

MAX_REFERENCE_LENGTH = 100
MAX_PAYER_LENGTH = 200
CLOCKS_APART = timedelta(minutes=1)
"""How much a partner's clock may be ahead of ours."""

ZONES_APART = timedelta(hours=14)
"""How much earlier than in UTC a day begins where it begins first."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _status(value: object, info: ValidationInfo) -> str:
    words = info.context.status_words() if info.context else {}
    if isinstance(value, str) and (meaning := words.get(status_key(value))):
        return str(meaning)
    raise ValueError(f"must be one of {', '.join(words)}")


def _instant(value: object) -> datetime:
    """Of text only, for a number might be seconds or milliseconds; without an offset it is UTC."""
    try:
        # A day alone does not say which of two messages of that day is the newer one.
        if isinstance(value, str) and ":" in value:
            stated = datetime.fromisoformat(value.strip())
            stated = stated if stated.tzinfo else stated.replace(tzinfo=UTC)
            if stated >= EARLIEST:
                return stated.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be an instant since 1970 such as 2026-03-31T14:05:00Z")


def _day(value: object) -> date:
    try:
        if isinstance(value, str) and (day := date.fromisoformat(value.strip())) >= EARLIEST.date():
            return day
    except ValueError:
        pass
    raise ValueError("must be a day since 1970 such as 2026-03-31")


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return value


def _bounded(value: Decimal) -> Decimal:
    """What is stated is added up and subtracted in columns that hold no more."""
    if abs(value) > MAX_AMOUNT:
        raise ValueError(f"must be between -{MAX_AMOUNT} and {MAX_AMOUNT}")
    return value


Stated = Annotated[Money, AfterValidator(_bounded)]
Reference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REFERENCE_LENGTH),
    AfterValidator(_printable),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PAYER_LENGTH),
    AfterValidator(_printable),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class AccountMessage(BaseModel):
    """An account's balance and status as a partner has them, as of ``processed_at``.

    The account is named by the reference that we sent, or by the debtor's id or reference. A negative
    ``balance`` is taken as it is stated: what it means is for the reconciliation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    account_ref: Reference | None = None
    debtor_id: Reference | None = None
    balance: Stated
    status: Annotated[str, BeforeValidator(_status)]
    currency: Currency | None = None
    processed_at: Annotated[AwareDatetime, BeforeValidator(_instant)]

    @model_validator(mode="after")
    def _names_an_account(self) -> Self:
        if self.account_ref is None and self.debtor_id is None:
            raise ValueError("must name the account by account_ref or debtor_id")
        return self

    def line(self, currency: str | None) -> StatedLine:
        """As it is staged; ``currency`` where it does not say its own."""
        return StatedLine(
            account_ref=self.account_ref,
            debtor_ref=self.debtor_id,
            balance=self.balance,
            status=self.status,
            currency=self.currency or currency,
            processed_at=self.processed_at,
        )


class PaymentMessage(BaseModel):
    """A payment as a bank has it: money in, or, below zero, out again."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    payment_ref: Reference | None = None
    account_ref: Reference | None = None
    amount: Stated
    currency: Currency | None = None
    paid_on: Annotated[date, BeforeValidator(_day)]
    payer: Name | None = None

    @model_validator(mode="after")
    def _names_a_payment(self) -> Self:
        if not self.amount:
            raise ValueError("amount: must not be zero")
        if self.payment_ref is None and self.account_ref is None and self.payer is None:
            raise ValueError("must say what was paid, by payment_ref, account_ref or payer")
        return self

    def line(self, currency: str | None) -> StatedLine:
        """As it is staged; ``currency`` where it does not say its own."""
        return StatedLine(**{**dict(self), "currency": self.currency or currency})


class Judged(NamedTuple):
    """A message that can be taken, or what is wrong with it and in which field."""

    line: StatedLine | None
    error: str | None = None
    field: str | None = None


def judge_account(item: object, now: datetime, profile: StatementProfile) -> Judged:
    """Read a message about an account that came in at ``now``; nothing is raised for a bad one.

    The partner's own words for a status, and the currency of amounts that do not say theirs, are those of
    its statements.
    """
    if not isinstance(item, dict):
        return Judged(None, "must be an object with account_ref or debtor_id, balance, status, processed_at")
    try:
        message = AccountMessage.model_validate(item, context=profile)
    except ValidationError as error:
        return _refused(error)
    if message.processed_at > now + CLOCKS_APART:
        return Judged(None, "must not be later than now", "processed_at")
    return Judged(message.line(profile.currency))


def judge_payment(item: object, now: datetime, profile: StatementProfile) -> Judged:
    """Read a message about a payment that came in at ``now``; nothing is raised for a bad one."""
    if not isinstance(item, dict):
        return Judged(None, "must be an object with payment_ref, account_ref or payer, amount, paid_on")
    try:
        message = PaymentMessage.model_validate(item)
    except ValidationError as error:
        return _refused(error)
    if message.paid_on > (now + ZONES_APART).date():
        return Judged(None, "must not be later than today", "paid_on")
    return Judged(message.line(profile.currency))


def refused_line(item: object, judged: Judged) -> RefusedLine:
    """A message that was refused, as the statement's problem."""
    problem = f"{judged.field}: {judged.error}" if judged.field else str(judged.error)
    references = {
        column: _reference(item.get(name)) if isinstance(item, dict) else None
        for column, name in (
            ("account_ref", "account_ref"),
            ("debtor_ref", "debtor_id"),
            ("payment_ref", "payment_ref"),
        )
    }
    return RefusedLine(problem, json.dumps(item, sort_keys=True, default=str), **references)


def _reference(value: object) -> str | None:
    try:
        return _REFERENCE.validate_python(value)
    except ValidationError:
        return None


_REFERENCE = TypeAdapter(Reference)
_MOST_OF_A_NAME = 60
_IN_OUR_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "string_pattern_mismatch": "must be three capital letters such as USD",
}


def _refused(error: ValidationError) -> Judged:
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    said = _IN_OUR_WORDS.get(first["type"]) or str(first["msg"]).removeprefix("Value error, ")
    return Judged(None, said, _shown(".".join(map(str, first["loc"]))) or None)


def _shown(field: str) -> str:
    """The name of a field, which may be whatever was sent."""
    readable = "".join(character if character.isprintable() else "?" for character in field)
    return readable if len(readable) <= _MOST_OF_A_NAME else f"{readable[:_MOST_OF_A_NAME]}…"
