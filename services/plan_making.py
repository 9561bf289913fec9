"""What a payment plan needs to be made: an account that takes one, terms that hold, an agreement."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from activities.account_change import AccountChange
from activities.plan_ends import check_may_be_asked
from activities.stripe_accounts import NoStripeCredentials
from domain.accounts import AccountStatus, check_move
from domain.errors import Conflict, Invalid
from domain.payments import check_currency
from domain.plan_agreements import check_agreement
from domain.plan_schedule import ScheduledInstalment, check_first_due, schedule

if TYPE_CHECKING:
    from db.models import PaymentPlan, SettlementOffer
    from services.plan_forms import PlanForm

S = AccountStatus


async def terms_of(change: AccountChange, form: "PlanForm") -> list[ScheduledInstalment]:
    """The schedule that an account's plan would have.

    ``IllegalMove`` (with the legal moves) from a status in which none is made, ``PaymentRefused`` under a
    hold, ``Conflict`` beside another plan, ``Invalid`` for terms that do not hold.
    """
    await _check_account(change)
    instalments = schedule(
        await _total(change, form),
        form.frequency,
        form.first_due,
        instalments=form.instalments,
        amount=form.amount,
    )
    check_first_due(form.first_due, await change.tx.account_changes.today())
    if form.offer_id is not None:
        offer = await _offer(change, form)
        if len(instalments) > offer.instalments:
            raise Invalid(
                f"the offer was accepted for {offer.instalments} instalments at most, these are"
                f" {len(instalments)}",
                field="instalments" if form.instalments is not None else "amount",
                instalments=offer.instalments,
            )
    return instalments


async def make_plan(change: AccountChange, form: "PlanForm") -> "PaymentPlan":
    """Make a plan as agreed; its account is then on a payment plan. Raises as ``terms_of``."""
    instalments = await terms_of(change, form)
    agreed_on = await _agreement(change, form)
    total = sum((one.amount for one in instalments), Decimal(0))
    plan = await change.tx.plans.make(
        change.account,
        instalments,
        offer_id=form.offer_id,
        total=total,
        frequency=form.frequency.value,
        first_due=form.first_due,
        counted_from=form.first_due,
        payment_method=form.payment_method,
        agreed_on=agreed_on,
        copy_sent_on=form.copy_sent_on,
        varies_down=form.varies_down,
    )
    facts: dict[str, Any] = {
        "total": format(total, "f"),
        "instalments": len(instalments),
        "frequency": plan.frequency,
        "next_due": plan.first_due.isoformat(),
    }
    agreement = {
        "agreed_on": agreed_on,
        "copy_sent_on": form.copy_sent_on,
        "varies_down": form.varies_down,
        "offer_id": form.offer_id,
    }
    await change.record("plan.made", "payment_plan", plan.id, {**facts, **agreement})
    words = f"Payment plan: {total:,.2f} {plan.currency} in {len(instalments)} {plan.frequency} instalments"
    await change.event(
        "plan", f"{words}, the first due on {plan.first_due}", new="active", plan_id=str(plan.id), **facts
    )
    if change.account.status is not S.PAYMENT_PLAN:
        await change.move(
            S.PAYMENT_PLAN, "The debtor agreed to a payment plan", by_hand=True, plan_id=str(plan.id)
        )
    await change.tx.lifecycles.notify([change.account.id])
    return plan


async def _check_account(change: AccountChange) -> None:
    account = change.account
    if account.status is not S.PAYMENT_PLAN:
        check_move(account.status, S.PAYMENT_PLAN)
    check_currency(account.currency)
    await check_may_be_asked(change)
    if standing := await change.tx.plans.open_on(account.id):
        raise Conflict("the account has a payment plan already; end that first", plan_id=str(standing.id))
    if account.balance <= 0:
        raise Conflict("nothing is owed on the account", balance=format(account.balance, "f"))


async def _total(change: AccountChange, form: "PlanForm") -> Decimal:
    account = change.account
    if form.offer_id is None:
        total = account.balance if form.total is None else form.total
        if total > account.balance:
            raise Invalid(f"the balance is {account.balance} {account.currency}", field="total")
        return total
    offer = await _offer(change, form)
    since = offer.resolved_at or offer.made_at
    left = min(offer.amount - await change.tx.payments.received_since(account.id, since), account.balance)
    if form.total not in {None, left}:
        raise Invalid(
            f"{left} {offer.currency} of the offer are left to be paid; leave the total out", field="total"
        )
    return left


async def _offer(change: AccountChange, form: "PlanForm") -> "SettlementOffer":
    accepted = await change.tx.offers.accepted_on(change.account.id)
    if accepted is None or accepted.id != form.offer_id:
        raise Conflict("no such offer was accepted on the account; accept it first", field="offer_id")
    return accepted


async def _agreement(change: AccountChange, form: "PlanForm") -> date:
    """The day of the debtor's agreement, where what is needed to charge them is there."""
    charged = form.payment_method is not None
    today = await change.tx.account_changes.today()
    agreed_on = check_agreement(form.agreed_on, form.copy_sent_on, today=today, charged=charged)
    if charged and await change.tx.stripe_credentials.find() is None:
        raise NoStripeCredentials
    return agreed_on
