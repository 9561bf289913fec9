"""What Stripe says, as typed facts: amounts as exact decimals, times aware and in UTC, ids as they are."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

from domain.errors import Invalid
from domain.money import CENT, cents
from domain.payments import check_currency
from domain.provider_events import oddity, subject_of


class IntentStatus(StrEnum):
    """Where a payment intent stands; only ``succeeded`` means that money was taken."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: Stripe's code, the issuer's reason where it gave one, Stripe's words."""

    code: str
    decline_code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class IntentState:
    """A payment intent at one moment.

    ``charge_id`` is the latest attempt, ``failure`` why it failed, ``action_url`` where the card's holder is
    asked.
    """

    id: str
    status: IntentStatus
    amount: Decimal
    amount_received: Decimal
    currency: str
    created: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    customer_id: str | None = None
    payment_method_id: str | None = None
    charge_id: str | None = None
    failure: Failure | None = None
    action_url: str | None = None
    cancellation_reason: str | None = None

    @property
    def final(self) -> bool:
        """Whether it can no longer take money: it has, or it was cancelled."""
        return self.status in {IntentStatus.SUCCEEDED, IntentStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class ChargeState:
    """One attempt to take money; ``status`` is pending, succeeded or failed, ``method`` its kind."""

    id: str
    intent_id: str | None
    status: str
    amount: Decimal
    refunded: Decimal
    currency: str
    created: datetime
    disputed: bool
    method: str | None
    failure: Failure | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund; ``status`` is pending, requires_action, succeeded, failed or canceled."""

    id: str
    charge_id: str | None
    intent_id: str | None
    status: str
    amount: Decimal
    currency: str
    created: datetime
    reason: str | None = None
    failure_reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DisputeState:
    """A dispute; ``status`` as Stripe has it (needs_response, under_review, won, lost, warning_…)."""

    id: str
    charge_id: str
    intent_id: str | None
    status: str
    reason: str
    amount: Decimal
    currency: str
    created: datetime
    respond_by: datetime | None = None

    @property
    def inquiry(self) -> bool:
        """Whether the bank only asks: no money was taken back."""
        return self.status.startswith("warning")


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """A hosted payment page; ``url`` is None once it is complete or expired."""

    id: str
    url: str | None
    status: str | None
    payment_status: str
    intent_id: str | None
    expires_at: datetime
    reference: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodState:
    """A payment method: its kind (card, us_bank_account), last digits, and whom it is kept for."""

    id: str
    kind: str
    last4: str | None
    brand: str | None
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in a list of Stripe's that is not what it should be: its kind (charge, …), id, and why."""

    kind: str
    id: str
    problem: str


Subject = IntentState | ChargeState | RefundState | DisputeState | CheckoutLink


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A webhook whose signature is right.

    ``intent_id`` is the intent that it is about, where that can be told. ``subject`` is None for events that
    change nothing here, and where it could not be read: ``problem`` then says why.
    """

    id: str
    type: str
    created: datetime
    object_kind: str
    object_id: str | None
    subject: Subject | None
    intent_id: str | None = None
    problem: str | None = None


def to_cents(amount: Decimal, currency: str) -> int:
    """An amount as Stripe takes it. Raises ``Invalid`` for fractions of a cent, currencies without cents."""
    check_currency(currency)
    try:
        return cents(amount)
    except ValueError as error:
        raise Invalid(str(error), field="amount") from error


def read_intent(body: Mapping[str, Any]) -> IntentState:
    """A payment intent from Stripe's JSON."""
    return IntentState(
        id=body["id"],
        status=IntentStatus(body["status"]),
        amount=_money(body["amount"]),
        amount_received=_money(body.get("amount_received") or 0),
        currency=_code(body["currency"]),
        created=_moment(body["created"]),
        metadata=dict(body.get("metadata") or {}),
        customer_id=_id(body.get("customer")),
        payment_method_id=_id(body.get("payment_method")),
        charge_id=_id(body.get("latest_charge")),
        failure=_error(body.get("last_payment_error")),
        action_url=_action_url(body.get("next_action")),
        cancellation_reason=body.get("cancellation_reason"),
    )


def read_charge(body: Mapping[str, Any]) -> ChargeState:
    """A charge from Stripe's JSON."""
    code = body.get("failure_code")
    outcome = body.get("outcome") or {}
    return ChargeState(
        id=body["id"],
        intent_id=_id(body.get("payment_intent")),
        status=body["status"],
        amount=_money(body["amount"]),
        refunded=_money(body.get("amount_refunded") or 0),
        currency=_code(body["currency"]),
        created=_moment(body["created"]),
        disputed=bool(body.get("disputed")),
        method=(body.get("payment_method_details") or {}).get("type"),
        failure=Failure(code, outcome.get("reason"), body.get("failure_message")) if code else None,
        metadata=dict(body.get("metadata") or {}),
    )


def read_refund(body: Mapping[str, Any]) -> RefundState:
    """A refund from Stripe's JSON."""
    return RefundState(
        id=body["id"],
        charge_id=_id(body.get("charge")),
        intent_id=_id(body.get("payment_intent")),
        status=body.get("status") or "pending",
        amount=_money(body["amount"]),
        currency=_code(body["currency"]),
        created=_moment(body["created"]),
        reason=body.get("reason"),
        failure_reason=body.get("failure_reason"),
        metadata=dict(body.get("metadata") or {}),
    )


def read_dispute(body: Mapping[str, Any]) -> DisputeState:
    """A dispute from Stripe's JSON."""
    due_by = (body.get("evidence_details") or {}).get("due_by")
    return DisputeState(
        id=body["id"],
        charge_id=_id(body["charge"]) or "",
        intent_id=_id(body.get("payment_intent")),
        status=body["status"],
        reason=body["reason"],
        amount=_money(body["amount"]),
        currency=_code(body["currency"]),
        created=_moment(body["created"]),
        respond_by=_moment(due_by) if due_by else None,
    )


_State = TypeVar("_State")
ODD: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, Invalid)
"""What reading something that is not what it should be may raise."""


def attempt(
    read: Callable[[Mapping[str, Any]], _State], kind: str, body: Mapping[str, Any]
) -> _State | Unreadable:
    """One of a list, read; what cannot be read keeps nobody from reading the others."""
    try:
        return read(body)
    except ODD as error:
        return Unreadable(kind, str(body.get("id") or f"a {kind} without an id"), oddity(error))


def read_checkout(body: Mapping[str, Any]) -> CheckoutLink:
    """A Checkout session from Stripe's JSON."""
    return CheckoutLink(
        id=body["id"],
        url=body.get("url"),
        status=body.get("status"),
        payment_status=body["payment_status"],
        intent_id=_id(body.get("payment_intent")),
        expires_at=_moment(body["expires_at"]),
        reference=body.get("client_reference_id"),
        metadata=dict(body.get("metadata") or {}),
    )


def read_method(body: Mapping[str, Any]) -> MethodState:
    """A payment method from Stripe's JSON."""
    kind = body["type"]
    details = body.get(kind) or {}
    return MethodState(
        id=body["id"],
        kind=kind,
        last4=details.get("last4"),
        brand=details.get("brand") or details.get("bank_name"),
        customer_id=_id(body.get("customer")),
    )


def read_event(body: Mapping[str, Any]) -> StripeEvent:
    """An event from Stripe's JSON. ``ValueError`` for what is none: without an id or a type."""
    event_id, event_type = _ref(body.get("id")), _ref(body.get("type"))
    if event_id is None or event_type is None:
        raise ValueError("an event has an id and a type")
    data = body.get("data")
    found = data.get("object") if isinstance(data, Mapping) else None
    about: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    kind = _ref(about.get("object")) or ""
    problem = subject = None
    if subject_of(event_type) is not None:
        try:
            subject = _SUBJECTS[kind](about)
        except ODD as error:
            problem = f"what it is about cannot be understood here: {oddity(error)}"
    return StripeEvent(
        id=event_id,
        type=event_type,
        created=_moment_or_now(body.get("created")),
        object_kind=kind,
        object_id=_ref(about.get("id")),
        subject=subject,
        intent_id=_intent_ref(kind, about),
        problem=problem,
    )


def _intent_ref(kind: str, about: Mapping[str, Any]) -> str | None:
    found = about.get("id" if kind == "payment_intent" else "payment_intent")
    return _ref(found.get("id") if isinstance(found, Mapping) else found)


def _ref(value: Any) -> str | None:
    """A word of Stripe's, such as an id; None for what can be none."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _moment_or_now(seconds: Any) -> datetime:
    try:
        return _moment(seconds)
    except (TypeError, ValueError, ArithmeticError, OSError):
        return datetime.now(UTC)


_WORD: Final = re.compile(r"[\x21-\x7e]{1,255}")

_SUBJECTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Subject]]] = {
    "payment_intent": read_intent,
    "charge": read_charge,
    "refund": read_refund,
    "dispute": read_dispute,
    "checkout.session": read_checkout,
}


def _money(smallest_units: int) -> Decimal:
    return (Decimal(smallest_units) * CENT).quantize(CENT)


def _code(currency: Any) -> str:
    """A currency as Stripe has it, in small letters."""
    if not isinstance(currency, str):
        raise TypeError("a currency is a text")
    return currency


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _id(value: Any) -> str | None:
    """An id, whether or not the object came with it."""
    found = value["id"] if isinstance(value, Mapping) else value
    return None if found is None else str(found)


def _error(body: Mapping[str, Any] | None) -> Failure | None:
    if not body:
        return None
    return Failure(
        body.get("code") or body.get("type") or "unknown", body.get("decline_code"), body.get("message")
    )


def _action_url(body: Mapping[str, Any] | None) -> str | None:
    return ((body or {}).get("redirect_to_url") or {}).get("url")
