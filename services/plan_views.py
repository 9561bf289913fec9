"""Payment plans as callers see them."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activities.plan_ends import is_left
from domain.money import Money
from domain.payments import PaymentMethod
from domain.plan_schedule import Frequency, ScheduledInstalment
from services.fields import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.models import PaymentPlan, PlanInstalment


class InstalmentView(View):
    """One instalment: ``due_on`` as agreed, ``collect_on`` the first business day from then on.

    ``status`` is scheduled, collecting, paid, missed or cancelled. ``tries`` counts its payments,
    ``declines`` those by which it was asked for as agreed, in vain. ``next_try_on`` is when it is asked for
    again, or, of a missed one, until when it can be made good.
    """

    number: int
    amount: Money
    due_on: date
    collect_on: date
    status: str
    tries: int
    declines: int
    next_try_on: date | None
    payment_id: UUID | None
    paid_at: datetime | None


class PlanSummary(View):
    """One plan of a list. ``status`` is active, paused, completed, broken or cancelled.

    ``next_due`` and ``next_amount`` are of the instalment that is next. ``method`` is known once the payment
    method is kept at the provider; null where the debtor pays by themselves.
    """

    id: UUID
    account_id: UUID
    offer_id: UUID | None
    status: str
    total: Money
    currency: str
    frequency: Frequency
    first_due: date
    next_due: date | None
    next_amount: Money | None
    method: PaymentMethod | None
    payment_method: str | None
    agreed_on: date
    copy_sent_on: date | None
    varies_down: bool
    paused_because: str | None
    ended_because: str | None
    made_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class PlanDetail(PlanSummary):
    """A plan with its instalments, and what of them was paid and is left."""

    paid: Money
    left: Money
    instalments: list[InstalmentView]


class UpcomingCollection(View):
    """An instalment that is soon charged to the plan's payment method."""

    id: UUID
    plan_id: UUID
    account_id: UUID
    number: int
    amount: Money
    currency: str
    due_on: date
    collect_on: date
    method: PaymentMethod | None


class PlanPreview(View):
    """A schedule that nobody has agreed to yet."""

    total: Money
    currency: str
    frequency: Frequency
    last_due: date
    instalments: list[ScheduledInstalment]


def summary(plan: "PaymentPlan", upcoming: "PlanInstalment | None") -> PlanSummary:
    """A plan of a list, by the instalment that is next."""
    return PlanSummary.model_validate(_columns(plan) | _next(upcoming))


def detail(plan: "PaymentPlan", instalments: "Sequence[PlanInstalment]") -> PlanDetail:
    """A plan with all its instalments."""
    upcoming = [one for one in instalments if one.status == "collecting" or is_left(one)]
    return PlanDetail.model_validate(
        _columns(plan)
        | _next(upcoming[0] if upcoming else None)
        | {
            "paid": sum((one.amount for one in instalments if one.status == "paid"), Decimal(0)),
            "left": sum((one.amount for one in upcoming), Decimal(0)),
            "instalments": [InstalmentView.model_validate(one) for one in instalments],
        }
    )


def upcoming_collection(instalment: "PlanInstalment", plan: "PaymentPlan") -> UpcomingCollection:
    """An instalment with what is known of its plan."""
    known = {name: getattr(instalment, name, None) for name in UpcomingCollection.model_fields}
    of_plan = {"account_id": plan.account_id, "currency": plan.currency, "method": plan.method}
    return UpcomingCollection.model_validate(known | of_plan)


def _columns(plan: "PaymentPlan") -> dict[str, Any]:
    return {name: getattr(plan, name) for name in PlanSummary.model_fields if not name.startswith("next_")}


def _next(upcoming: "PlanInstalment | None") -> dict[str, Any]:
    if upcoming is None:
        return {"next_due": None, "next_amount": None}
    return {"next_due": upcoming.due_on, "next_amount": upcoming.amount}
