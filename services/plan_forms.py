"""What callers send to make a payment plan, and to change one."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StrictBool, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from domain.money import PositiveMoney
from domain.payments import BY_PROVIDER, PaymentMethod
from domain.plan_schedule import MOST_INSTALMENTS, Frequency
from services.account_command_forms import NearDay, Words
from services.fields import Form
from services.payment_forms import PaymentMethodId

Instalments = Annotated[int, Field(strict=True, ge=1, le=MOST_INSTALMENTS)]


class PlanForm(Form):
    """An agreement to pay in instalments: so many of them, or of so much each.

    ``total`` is what is paid in all: the balance, or with ``offer_id`` what that accepted offer settles for,
    unless it is given. ``payment_method`` (pm_…) is charged for each instalment; without one the debtor pays
    by themselves. ``agreed_on`` is when the debtor agreed, and ``copy_sent_on`` when a copy was sent to them,
    which is needed with a payment method (12 CFR 1005.10(b)); a preview needs neither. ``varies_down``: they
    agreed that other payments make single instalments smaller; otherwise only these amounts are charged.
    """

    total: PositiveMoney | None = None
    instalments: Instalments | None = None
    amount: PositiveMoney | None = None
    frequency: Frequency
    first_due: NearDay
    payment_method: PaymentMethodId | None = None
    agreed_on: NearDay | None = None
    copy_sent_on: NearDay | None = None
    varies_down: StrictBool = True
    offer_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.instalments is None) == (self.amount is None):
            raise _error(self, "instalments", "give either the number of instalments or the amount of each")
        return self


class PlanEndForm(Form):
    """Why a plan is cancelled."""

    reason: Words | None = None


class PlanDateForm(Form):
    """When the next instalment is to be due; the others follow in their rhythm.

    Where one is due earlier by it than was agreed, ``agreed_on`` is needed, and where a payment method is
    charged ``copy_sent_on``, too (12 CFR 1005.10(b)).
    """

    next_due: NearDay
    agreed_on: NearDay | None = None
    copy_sent_on: NearDay | None = None


class PayEarlyForm(Form):
    """By what the next instalment is paid now: the plan's own method, unless another one is given.

    ``method`` is what kind the other one is, card or bank_transfer, and is needed with it.
    """

    payment_method: PaymentMethodId | None = None
    method: PaymentMethod | None = None

    @model_validator(mode="after")
    def _kind_of_another(self) -> Self:
        if self.method is not None and self.payment_method is None:
            raise _error(self, "method", "goes with a payment_method")
        if self.method is None and self.payment_method is not None:
            raise _error(self, "method", "is needed with a payment_method: card or bank_transfer")
        if self.method is not None and self.method not in BY_PROVIDER:
            raise _error(self, "method", "must be card or bank_transfer; enter other money as a payment")
        return self


def _error(form: Form, name: str, words: str) -> ValidationError:
    found = InitErrorDetails(type=PydanticCustomError("plan", words), loc=(name,), input=None)
    return ValidationError.from_exception_data(type(form).__name__, [found], hide_input=True)
