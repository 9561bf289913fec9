"""Money of one account: a payment taken or recorded, a page to pay on, a plan looked at and made."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand, checked, fields, filled
from console.notices import done
from console.pages.account_commands import AccountId
from console.rendering import money, words
from console.web import PagesDep, as_domain_error, router, sees
from domain.errors import Conflict, Invalid, Malformed
from services.access import Right
from services.payment_forms import ApplyCreditForm, HandBackForm, LinkForm, PaymentForm
from services.plan_forms import PlanForm
from services.sessions import Visitor

pages = router()
TakesPayments = Annotated[Visitor, sees(Right.TAKE_PAYMENTS)]
GivesBack = Annotated[Visitor, sees(Right.REFUND_PAYMENTS)]
LINK = "link"
ACCEPTED = 202

WITH_WAY = {
    "card": {"payment_method": "card"},
    "bank_transfer": {"payment_method": "bank", "authorised_on": "authorised_on"},
    "check": {"reference": "reference", "received_on": "received_on"},
    "cash": {"reference": "reference", "received_on": "received_on"},
    LINK: {"method": "link_method"},
}
"""By the way of paying, what of a payment's form it takes and what that is called on the page."""

CHARGED = {"card": "card", "bank": "bank"}
"""Who pays a plan's instalments by themselves, and from which field their payment method is."""


@pages.post("/accounts/{account_id}/payments")
async def take_payment(
    request: Request,
    account_id: AccountId,
    visitor: TakesPayments,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Take a payment, record one that was handed in, or have a page made on which the debtor pays."""
    given = fields(await request.form())
    way = str(given.get("way"))
    if way not in WITH_WAY:
        raise Malformed("say how it is paid")
    values = {name: given[field] for name, field in WITH_WAY[way].items() if field in given}
    values |= {"amount": given["amount"]} if "amount" in given else {}
    if way == LINK:
        answer = await services.payments.link(visitor.who, command, account_id, checked(LinkForm, values))
    else:
        form = checked(PaymentForm, {**values, "account_id": str(account_id), "method": way})
        answer = await services.payments.take(visitor.who, command, form)
    return _told(account_id, answer.body)


def _told(account_id: UUID, payment: dict[str, Any]) -> Response:
    """Lead back to the account and say what became of the payment, as far as it is known."""
    amount, how = money(payment["amount"], payment["currency"]), words(payment["method"]).lower()
    page = f"/accounts/{account_id}"
    match payment["status"]:
        case "succeeded":
            return done(page, f"{amount} were paid by {how}.")
        case "failed":
            why = payment["failure_message"] or words(payment["failure_code"] or "the provider refused it")
            return done(page, f"The payment of {amount} by {how} failed: {why}", "warning")
        case "requires_action" if payment["action_url"] and payment["origin"] == LINK:
            return done(page, f"Give the debtor this address to pay {amount} on: {payment['action_url']}")
        case "requires_action":
            return done(page, f"The debtor has to confirm the payment of {amount} first.", "warning")
        case _:
            return done(page, f"The payment of {amount} by {how} is on its way; its status is on the page.")


@pages.post("/accounts/{account_id}/plans/preview")
async def preview_plan(
    request: Request, account_id: UUID, visitor: TakesPayments, services: ServicesDep, templates: PagesDep
) -> Response:
    """The schedule that a plan would have, to the cent; or what it lacks."""
    preview, why = None, ""
    try:
        # Who pays, and by what, changes nothing of the schedule.
        form = checked(PlanForm, _plan({**fields(await request.form()), "paid_by": "debtor"}))
        preview = await services.plans.preview(visitor.who, account_id, form)
    except (RequestValidationError, Invalid, Conflict, Malformed) as error:
        why = as_domain_error(error).message
    return templates.page(
        request, "account_plan_preview.html", preview=preview, why=why, account_id=account_id
    )


@pages.post("/accounts/{account_id}/plans")
async def make_plan(
    request: Request,
    account_id: AccountId,
    visitor: TakesPayments,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Make a payment plan as the debtor agreed to it."""
    form = checked(PlanForm, _plan(fields(await request.form())))
    answer = await services.plans.make(visitor.who, command, account_id, form)
    number = len(answer.body["instalments"])
    text = f"The plan is made: {number} instalments, the first due {form.first_due:%-d %b %Y}."
    if answer.status == ACCEPTED:
        text += " Its payment method is being kept at the provider."
    return done(f"/accounts/{account_id}", text)


@pages.post("/accounts/{account_id}/credit-balance/apply")
async def apply_credit(
    request: Request, account_id: AccountId, visitor: GivesBack, command: FormCommand, services: ServicesDep
) -> Response:
    """Put money that is owed back on a debt of the same person."""
    form = await filled(request, ApplyCreditForm)
    answer = await services.credits.apply(visitor.who, command, account_id, form)
    applied, left = (money(answer.body[name], answer.body["currency"]) for name in ("applied", "balance"))
    return done(f"/accounts/{answer.body['to_account_id']}", f"{applied} are applied; {left} are still owed.")


@pages.post("/accounts/{account_id}/credit-balance/refund")
async def hand_credit_back(
    request: Request, account_id: AccountId, visitor: GivesBack, command: FormCommand, services: ServicesDep
) -> Response:
    """Give money that is owed back to the debtor, by the way it came."""
    form = await filled(request, HandBackForm)
    answer = await services.credits.hand_back(visitor.who, command, account_id, form)
    amount = sum((Decimal(one["amount"]) for one in answer.body["refunds"]), Decimal(0))
    what = "is on its way back" if answer.status == ACCEPTED else "went back to the debtor"
    return done(f"/accounts/{account_id}", f"{money(amount, answer.body['currency'])} {what}.")


def _plan(given: dict[str, Any]) -> dict[str, Any]:
    """A plan's form: of what was filled in, what goes with the choices that were made."""
    by, paid_by = str(given.pop("by", "instalments")), str(given.pop("paid_by", "debtor"))
    methods = {name: given.pop(name, None) for name in CHARGED.values()}
    given.pop("amount" if by == "instalments" else "instalments", None)
    if paid_by not in CHARGED:
        given.pop("copy_sent_on", None)
        given.pop("varies_down", None)
        return given
    if not (method := methods[CHARGED[paid_by]]):
        raise Malformed("say which card or bank account is charged")
    return {**given, "payment_method": method}
