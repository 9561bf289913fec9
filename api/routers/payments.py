"""Payments: taken by card or bank debit, recorded when handed in, paid on a page, given back."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsPayments, RefundsPayments, ServicesDep, TakesPayments, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.payments import PaymentQueryDep
from services.credits import CreditApplied, CreditHandedBack
from services.payment_forms import ApplyCreditForm, HandBackForm, LinkForm, PaymentForm, RefundForm
from services.payment_views import PaymentDetail, PaymentSummary

router = APIRouter(tags=["payments"])

_ENDED_OR_NOT: dict[int | str, dict[str, Any]] = {
    202: {"model": PaymentDetail, "description": "accepted; look at it again for its end"}
}


@router.post(
    "/payments",
    status_code=201,
    response_model=PaymentDetail,
    responses={**WRITE_ERRORS, **_ENDED_OR_NOT},
)
async def take_payment(
    body: PaymentForm, who: TakesPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Take a payment by card or bank debit, or record a check or cash that was handed in.

    Needs a key: `idempotency_key`, or the header `Idempotency-Key`. 201 when the payment has ended (also when
    it `failed`), 202 when it goes on by itself. The same key with the same body has no second effect and is
    answered with the payment as it is then. 409 where the account takes no payment: by status, dispute or
    hold, or because it is more than the balance, less what is under way.
    """
    return respond(await services.payments.take(who, command, body))


@router.get("/payments", responses=READ_ERRORS)
async def list_payments(
    who: ReadsPayments, query: PaymentQueryDep, paging: Paging, services: ServicesDep
) -> Page[PaymentSummary]:
    """Payments, newest first; a collector's are those on their accounts."""
    wanted = query.wanted
    rows = await services.payments.page(
        who, paging.position(UUID), paging.limit, account_id=wanted.account_id, statuses=wanted.statuses
    )
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.get("/payments/{payment_id}", responses=READ_ERRORS)
async def get_payment(payment_id: UUID, who: ReadsPayments, services: ServicesDep) -> PaymentDetail:
    """One payment, with its refunds and chargebacks."""
    return await services.payments.get(who, payment_id)


@router.post(
    "/payments/{payment_id}/cancel",
    response_model=PaymentDetail,
    responses={**WRITE_ERRORS, **_ENDED_OR_NOT},
)
async def cancel_payment(
    payment_id: UUID, who: TakesPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Take back a link, or a payment that nobody was asked for yet: 200 when it has ended, 202 before that.

    409 for any other. It ends `failed` with `cancelled`, unless its money is on its way already.
    """
    return respond(await services.payments.cancel(who, command, payment_id))


@router.post(
    "/payments/{payment_id}/refund",
    status_code=201,
    response_model=PaymentDetail,
    responses={**WRITE_ERRORS, **_ENDED_OR_NOT},
)
async def refund_payment(
    payment_id: UUID,
    who: RefundsPayments,
    command: Command,
    services: ServicesDep,
    body: RefundForm | None = None,
) -> JSONResponse:
    """Give a part of a payment back, or all that is left: 201 when it was paid out, 202 while it is not yet.

    409 with what is `left` for more than that, and where the provider does not pay it out.
    """
    return respond(await services.refunds.refund(who, command, payment_id, body or RefundForm()))


@router.post(
    "/accounts/{account_id}/credit-balance/apply", response_model=CreditApplied, responses=WRITE_ERRORS
)
async def apply_credit_balance(
    account_id: UUID, body: ApplyCreditForm, who: RefundsPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Put money that is owed back to the debtor (`credit_balance`, `unapplied`) on a debt of theirs.

    409 with what is `left` for more than is owed back, and where that debt takes no payments or not as much.
    """
    return respond(await services.credits.apply(who, command, account_id, body))


@router.post(
    "/accounts/{account_id}/credit-balance/refund",
    status_code=201,
    response_model=CreditHandedBack,
    responses={
        **WRITE_ERRORS,
        202: {"model": CreditHandedBack, "description": "a refund is not paid out yet"},
    },
)
async def refund_credit_balance(
    account_id: UUID,
    who: RefundsPayments,
    command: Command,
    services: ServicesDep,
    body: HandBackForm | None = None,
) -> JSONResponse:
    """Give money that is owed back to the debtor, by refunds of the payments that brought it.

    What came as a check or cash is handed back by hand and recorded with its `reference`. 409 with what is
    `left` for more than is owed back.
    """
    return respond(await services.credits.hand_back(who, command, account_id, body or HandBackForm()))


@router.post(
    "/accounts/{account_id}/payment-links",
    status_code=201,
    response_model=PaymentDetail,
    responses={**WRITE_ERRORS, **_ENDED_OR_NOT},
)
async def make_link(
    account_id: UUID,
    who: TakesPayments,
    command: Command,
    services: ServicesDep,
    body: LinkForm | None = None,
) -> JSONResponse:
    """Have a page of Stripe's made on which the debtor pays: the payment, with the page's `action_url`."""
    return respond(await services.payments.link(who, command, account_id, body or LinkForm()))
