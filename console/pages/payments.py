"""Payments: the list, and one with what went back of it; giving back, taking back."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.payments import PaymentQueryDep
from console.forms import FormCommand, filled
from console.lists import page_of
from console.notices import done
from console.rendering import words
from console.web import PagesDep, router, sees
from domain.payments import TAKEN, PaymentStatus
from services.access import Right
from services.payment_forms import RefundForm
from services.payments import may_be_taken_back
from services.sessions import Visitor

pages = router()
ReadsPayments = Annotated[Visitor, sees(Right.READ_PAYMENTS)]
TakesPayments = Annotated[Visitor, sees(Right.TAKE_PAYMENTS)]
RefundsPayments = Annotated[Visitor, sees(Right.REFUND_PAYMENTS)]
STATUSES = [(status.value, words(status)) for status in PaymentStatus]
ACCEPTED = 202


@pages.get("/payments")
async def payments(
    request: Request,
    visitor: ReadsPayments,
    query: PaymentQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Payments, newest first; a collector's are those on their accounts."""
    wanted = query.wanted
    rows = await services.payments.page(
        visitor.who,
        paging.position(UUID),
        paging.limit,
        account_id=wanted.account_id,
        statuses=wanted.statuses,
    )
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=lambda row: row)
    names = await services.accounts.names(visitor.who, {row.account_id for row in shown.results})
    return templates.page(request, "payments.html", list=shown, names=names, statuses=STATUSES)


@pages.get("/payments/{payment_id}")
async def payment(
    request: Request, payment_id: UUID, visitor: ReadsPayments, services: ServicesDep, templates: PagesDep
) -> Response:
    """One payment, with its refunds and chargebacks."""
    found = await services.payments.get(visitor.who, payment_id)
    left = found.amount - sum(one.amount for one in found.refunds if one.status not in {"failed", "canceled"})
    return templates.page(
        request,
        "payment.html",
        payment=found,
        account=await services.accounts.get(visitor.who, found.account_id),
        left=left,
        can_refund=visitor.who.may(Right.REFUND_PAYMENTS) and found.status in TAKEN and left > 0,
        can_cancel=visitor.who.may(Right.TAKE_PAYMENTS) and may_be_taken_back(found),
        refund_key=uuid4().hex,
        cancel_key=uuid4().hex,
    )


@pages.post("/payments/{payment_id}/refund")
async def refund(
    request: Request,
    payment_id: UUID,
    visitor: RefundsPayments,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Give a part or all of a payment back."""
    form = await filled(request, RefundForm)
    answer = await services.refunds.refund(visitor.who, command, payment_id, form)
    text = "The refund is on its way." if answer.status == ACCEPTED else "The refund was paid out."
    return done(f"/payments/{payment_id}", text)


@pages.post("/payments/{payment_id}/cancel")
async def cancel(
    payment_id: UUID, visitor: TakesPayments, command: FormCommand, services: ServicesDep
) -> Response:
    """Take back a link, or a payment that nobody was asked for yet."""
    answer = await services.payments.cancel(visitor.who, command, payment_id)
    text = "The payment is being taken back." if answer.status == ACCEPTED else "The payment was taken back."
    return done(f"/payments/{payment_id}", text)
