"""What a partner says of an account in a message: judged alone, so that one bad message stops no other."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from domain.money import Money

PARTNER_STATUSES = ("UNPAID", "PARTIAL", "PAID")
MAX_REFERENCE_LENGTH = 100
CLOCKS_APART = timedelta(minutes=1)
"""How much a partner's clock may be ahead of ours."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _status(value: object) -> object:
    if isinstance(value, str) and value.strip().upper() in PARTNER_STATUSES:
        return value.strip().upper()
    raise ValueError(f"must be one of {', '.join(PARTNER_STATUSES)}")


def _instant(value: object) -> object:
    """Text only, for a number might be seconds or milliseconds; without an offset it is UTC."""
    if isinstance(value, str) and "T" in value.upper().strip().replace(" ", "T"):
        try:
            stated = datetime.fromisoformat(value.strip())
        except ValueError:
            stated = None
        if stated is not None:
            return stated if stated.tzinfo else stated.replace(tzinfo=UTC)
    raise ValueError("must be an instant such as 2026-03-31T14:05:00Z")


def _not_before_computers(value: datetime) -> datetime:
    if value < EARLIEST:
        raise ValueError("must not be before 1970")
    return value


def _readable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return value


Reference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REFERENCE_LENGTH),
    AfterValidator(_readable),
]


class PartnerMessage(BaseModel):
    """An account's balance and status as a partner has them, as of ``processed_at``.

    The account is named by the reference that we sent, or by the debtor's id or reference, if they have one
    account only. A negative ``balance`` is taken as it is stated: what it means is for the reconciliation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    account_ref: Reference | None = None
    debtor_id: Reference | None = None
    balance: Money
    status: Annotated[str, BeforeValidator(_status)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    processed_at: Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_not_before_computers)]

    @model_validator(mode="after")
    def _names_an_account(self) -> Self:
        if self.account_ref is None and self.debtor_id is None:
            raise ValueError("must name the account by account_ref or debtor_id")
        return self


class Judged(NamedTuple):
    """A message that can be taken, or what is wrong with it and in which field."""

    message: PartnerMessage | None
    error: str | None = None
    field: str | None = None


def judge(item: object, now: datetime) -> Judged:
    """Read one message of a delivery that came in at ``now``; nothing is raised for a bad one."""
    if not isinstance(item, dict):
        return Judged(None, "must be an object with account_ref or debtor_id, balance, status, processed_at")
    try:
        message = PartnerMessage.model_validate(item)
    except ValidationError as error:
        return _refused(error)
    if message.processed_at > now + CLOCKS_APART:
        return Judged(None, "must not be later than now", "processed_at")
    return Judged(message)


def _refused(error: ValidationError) -> Judged:
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    said = _IN_OUR_WORDS.get(first["type"]) or str(first["msg"]).removeprefix("Value error, ")
    return Judged(None, said, field)


_IN_OUR_WORDS = {"missing": "is missing", "extra_forbidden": "there is no such field"}


def amount_of(text: str) -> Decimal:
    """A JSON number with decimals as the amount that it says: read as a float it would be another."""
    return Decimal(text)
