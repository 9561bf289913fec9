"""What became of a payment, written to the instalment that it is of, in the transaction of the books."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.account_change import AccountChange
from activities.plan_change import OPEN, PlanChange
from activities.plan_ends import forbidden
from activities.plan_fit import fit, owed
from domain.payments import (
    NEVER_ASKED,
    UNFINISHED,
    PaymentStatus,
)
from domain.plan_schedule import MOST_TRIES, last_day_of_grace, next_try_after

if TYPE_CHECKING:
    from db.models import Payment, PlanInstalment

P = PaymentStatus
WENT_BACK = frozenset({P.REFUNDED, P.DISPUTED})


async def is_still_wanted(account: AccountChange, payment: "Payment") -> bool:
    """Whether a plan's payment that the provider was not asked for yet is to be asked for, now.

    Not once its plan has ended, its account takes none or owes less; nor, by the plan's method, while the
    plan is paused.
    """
    if payment.instalment_id is None:
        return False
    plan = await account.tx.plans.of_instalment(payment.instalment_id)
    change = await PlanChange.of(account, plan, datetime.now(UTC))
    going_on = {"active"} if payment.off_session else OPEN
    if plan.status not in going_on or change.under_way is None or change.under_way.payment_id != payment.id:
        return False
    return await forbidden(account) is None and payment.amount <= await owed(change)


async def plan_follows(account: AccountChange, payment: "Payment") -> bool:
    """Bring the instalment that a payment is of, and the plan of its account, in line with the payment.

    For whoever has just written its status, after what that means for the account. Whether there is such a
    plan, or was one until then: its workflow is noted to be told.
    """
    plans, now = account.tx.plans, datetime.now(UTC)
    if payment.instalment_id is not None:
        change = await PlanChange.of(account, await plans.of_instalment(payment.instalment_id), now)
        [instalment] = [one for one in change.instalments if one.id == payment.instalment_id]
        await settle_instalment(change, instalment, payment)
    elif (plan := await plans.open_on(account.account.id)) is not None:
        change = await PlanChange.of(account, plan, now)
    else:
        await _tell_of_money_in_time(account, payment)
        return account.plan_noted
    await fit(change)
    await account.note_plan()
    return True


async def settle_instalment(change: PlanChange, instalment: "PlanInstalment", payment: "Payment") -> None:
    """Write down what became of an instalment's payment; nothing where another one counts by now."""
    if instalment.payment_id != payment.id or payment.status in UNFINISHED:
        return
    plans, status = change.tx.plans, P(payment.status)
    if status is P.FAILED:
        if instalment.status == "collecting":
            await _failed(change, instalment, payment)
    elif status not in WENT_BACK:
        if instalment.status != "paid":
            await plans.mark_paid(instalment)
    elif instalment.status in {"paid", "collecting"}:
        # Not asked for again by itself: somebody wanted it back, or the bank took it.
        await plans.change_instalment(instalment, status="missed", paid_at=None, next_try_on=None)


async def _failed(change: PlanChange, instalment: "PlanInstalment", payment: "Payment") -> None:
    """Only what was asked for as agreed counts: by the plan's own method, on the day agreed on or later.

    Any other payment that fails, early, by another method or before Stripe was asked, leaves the instalment
    as it was.
    """
    if not change.is_open:
        await change.tx.plans.change_instalment(instalment, status="cancelled")
        return
    asked_on = instalment.asked_on
    as_agreed = payment.off_session and asked_on is not None and asked_on >= instalment.collect_on
    if as_agreed and payment.failure_code not in NEVER_ASKED:
        await _declined(change, instalment, by_bank=payment.charge_ref is not None)
    else:
        as_it_was = "missed" if instalment.declines >= MOST_TRIES else "scheduled"
        await change.tx.plans.change_instalment(instalment, status=as_it_was)


async def _declined(change: PlanChange, instalment: "PlanInstalment", *, by_bank: bool) -> None:
    """Asked for again after some days, as often as the rule has it; after that there are days of grace.

    Not ``by_bank``: Stripe did not take what was asked, so that no bank has heard of it.
    """
    # Never before the day on which it was asked for: whoever asks may have another clock.
    day = max(change.today, instalment.asked_on or change.today)
    declines = instalment.declines + 1
    what = "was declined" if by_bank else "could not be charged"
    words = f"Instalment {instalment.number} of {len(change.instalments)} {what}"
    if declines < MOST_TRIES:
        status, again = "scheduled", next_try_after(day)
        words += f"; it is asked for again on {again}"
    else:
        status, again = "missed", last_day_of_grace(day)
        words += f" for the last time; unless it is paid by {again} the plan is broken"
    await change.tx.plans.change_instalment(instalment, status=status, declines=declines, next_try_on=again)
    await change.event(words, instalment=instalment.number, again_on=again.isoformat())


async def _tell_of_money_in_time(account: AccountChange, payment: "Payment") -> None:
    """Tell people of a check or cash that is entered when its plan is broken, though it had come in time."""
    day, plans = payment.received_on, account.tx.plans
    plan = await plans.latest_on(account.account.id) if day and payment.status == P.SUCCEEDED else None
    if day is None or plan is None or plan.status != "broken" or day < plan.agreed_on:
        return
    missed = next(one for one in await plans.instalments(plan.id) if one.status == "missed")
    if day <= last_day_of_grace(missed.asked_on or missed.due_on):
        words = f"What came on {day} was in time for instalment {missed.number} of the plan that is broken"
        await account.event("plan", f"{words}: is it to be made anew?", plan_id=str(plan.id))
