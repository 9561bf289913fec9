"""What callers send to have money taken or given back."""

import re
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from domain.money import PositiveMoney
from domain.payments import BY_PROVIDER, PaymentMethod
from services.account_command_forms import Words, no_number_in_it
from services.fields import Day, Form, Line

MAX_KEY = 255
_CARD_NUMBER = re.compile(r"[0-9]{13,19}")
_REFERENCE = re.compile(r"pm_[A-Za-z0-9_]{1,200}")


def _no_card_number(value: object) -> object:
    """Told apart from other mistakes: whoever sends a card number must learn that it was wrong to."""
    if _CARD_NUMBER.fullmatch(re.sub(r"[\s.-]", "", str(value))):
        raise PydanticCustomError(
            "card_number",
            "card and account numbers are never taken here; make a payment method of it with Stripe's own"
            " form and send its id (pm_…)",
        )
    return value


def _payment_method_id(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise ValueError("must be the id of a Stripe payment method (pm_…)")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


PaymentMethodId = Annotated[
    str,
    AfterValidator(_payment_method_id),
    AfterValidator(no_number_in_it),
    BeforeValidator(_no_card_number),
]
"""A Stripe payment method (pm_…), never a number."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), BeforeValidator(_upper)]
Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KEY, pattern=r"^[\x20-\x7e]+$"),
    AfterValidator(no_number_in_it),
]
MoneyLine = Annotated[Line, AfterValidator(no_number_in_it)]
"""A line written of money, without the number of a card."""


class PaymentForm(Form):
    """A payment to be taken, or that was handed in.

    ``payment_method`` is Stripe's id (pm_…) of a card or bank account. ``reference`` (a check's number, a
    receipt's) and ``received_on`` are of checks and cash. ``authorised_on``: when the debtor agreed to a bank
    debit (12 CFR 1005.10(b)); today unless it is said.
    """

    account_id: UUID
    amount: PositiveMoney
    currency: Currency | None = None
    method: PaymentMethod
    payment_method: PaymentMethodId | None = None
    idempotency_key: Key | None = None
    reference: MoneyLine | None = None
    received_on: Day | None = None
    authorised_on: Day | None = None

    @model_validator(mode="after")
    def _what_goes_with_the_method(self) -> Self:
        by_provider = self.method in BY_PROVIDER
        found = []
        if by_provider and self.payment_method is None:
            found.append(_error("payment_method", f"is needed for {self.method}: Stripe's id of it (pm_…)"))
        misplaced = ["reference", "received_on"] if by_provider else ["payment_method"]
        if self.method is not PaymentMethod.BANK_TRANSFER:
            misplaced.append("authorised_on")
        found += [
            _error(name, f"does not go with {self.method}")
            for name in misplaced
            if getattr(self, name) is not None
        ]
        if found:
            raise ValidationError.from_exception_data(type(self).__name__, found, hide_input=True)
        return self

    def sent(self) -> dict[str, Any]:
        """What makes two requests with one key the same."""
        return self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_unset=True)


class LinkForm(Form):
    """A page on which the debtor pays by themselves: all that is owed, unless an amount is given.

    ``expires_at`` is at least half an hour and at most a day ahead, which is the default.
    """

    amount: PositiveMoney | None = None
    method: Annotated[PaymentMethod, Field(description="card or bank_transfer")] = PaymentMethod.CARD
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _by_the_provider(self) -> Self:
        if self.method not in BY_PROVIDER:
            found = [_error("method", "must be card or bank_transfer: nobody hands in money on a page")]
            raise ValidationError.from_exception_data(type(self).__name__, found, hide_input=True)
        return self


class GivingBackForm(Form):
    """How money goes back."""

    def sent(self) -> dict[str, Any]:
        """What makes two requests with one key the same: a field left out is as one that is null."""
        return self.model_dump(mode="json", exclude_none=True)


class RefundForm(GivingBackForm):
    """How much of a payment is to go back: what is left of it, unless an amount is given."""

    amount: PositiveMoney | None = None
    reason: Words | None = None


class ApplyCreditForm(GivingBackForm):
    """Money that is owed back is put on a debt, as the debtor has directed (``reason`` says how).

    ``to_account_id`` is that debt, an open account of the same debtor; the account itself unless it is given.
    All that is owed back, as far as the debt reaches, unless an ``amount`` is given.
    """

    amount: PositiveMoney | None = None
    to_account_id: UUID | None = None
    reason: Words


class HandBackForm(GivingBackForm):
    """Money that is owed back goes back to the debtor: all of it, unless an ``amount`` is given.

    ``reference`` (a check's number, a receipt's) is needed for what came as a check or cash, and was handed
    back by hand.
    """

    amount: PositiveMoney | None = None
    reference: MoneyLine | None = None
    reason: Words | None = None


def _error(name: str, words: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("payment", words), loc=(name,), input=None)
