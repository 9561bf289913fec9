"""Payments as callers see them."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.money import Money
from domain.payments import PaymentMethod, PaymentStatus
from services.fields import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from db.models import Chargeback, Payment, Refund


class PaymentSummary(View):
    """One payment of a list. ``action_url`` is where the debtor must do something, until ``action_until``.

    ``cancel_requested_at``: when somebody took the request back, whatever came of that.
    """

    id: UUID
    account_id: UUID
    amount: Money
    currency: str
    method: PaymentMethod
    status: PaymentStatus
    refunded_amount: Money
    processor_ref: str | None
    idempotency_key: str
    failure_code: str | None
    failure_message: str | None
    action_url: str | None
    action_until: datetime | None
    cancel_requested_at: datetime | None
    origin: str
    reference: str | None
    received_on: date | None
    plan_id: UUID | None
    instalment_id: UUID | None
    requested_by: str
    created_at: datetime
    updated_at: datetime


class RefundView(View):
    """A part or all of a payment that goes back, or went."""

    id: UUID
    amount: Money
    currency: str
    status: str
    reason: str | None
    processor_ref: str | None
    failure_code: str | None
    requested_by: str
    created_at: datetime


class ChargebackView(View):
    """A dispute of the payment at the payer's bank; ``status`` is Stripe's."""

    id: UUID
    amount: Money
    currency: str
    status: str
    reason: str
    respond_by: datetime | None
    processor_ref: str
    created_at: datetime


class PaymentDetail(PaymentSummary):
    """A payment with all that went back of it, newest first."""

    refunds: list[RefundView]
    chargebacks: list[ChargebackView]


def summary(payment: "Payment", plan_id: UUID | None) -> PaymentSummary:
    """A payment of a list."""
    return PaymentSummary.model_validate(_columns(payment, PaymentSummary) | {"plan_id": plan_id})


def detail(
    payment: "Payment",
    plan_id: UUID | None,
    refunds: "Iterable[Refund]",
    chargebacks: "Iterable[Chargeback]",
) -> PaymentDetail:
    """A payment in detail."""
    return PaymentDetail.model_validate(
        _columns(payment, PaymentSummary)
        | {
            "plan_id": plan_id,
            "refunds": [RefundView.model_validate(refund) for refund in refunds],
            "chargebacks": [ChargebackView.model_validate(one) for one in chargebacks],
        }
    )


def _columns(payment: "Payment", shape: type[View]) -> dict[str, Any]:
    return {name: getattr(payment, name) for name in shape.model_fields if name != "plan_id"}
