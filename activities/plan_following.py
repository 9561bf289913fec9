"""What became of a payment, written to the instalment that it is of, in the transaction of the books."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.account_change import AccountChange
from activities.plan_change import PlanChange
from domain.payments import UNFINISHED, PaymentStatus
from domain.plan_schedule import MOST_TRIES, last_day_of_grace, next_try_after

if TYPE_CHECKING:
    from db.models import Payment, PlanInstalment

P = PaymentStatus
WENT_BACK = frozenset({P.REFUNDED, P.DISPUTED})


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
        return account.plan_noted
    await change.fit()
    await account.note_plan()
    return True


async def settle_instalment(change: PlanChange, instalment: "PlanInstalment", payment: "Payment") -> None:
    """Write down what became of an instalment's payment; nothing where another one counts by now."""
    if instalment.payment_id != payment.id or payment.status in UNFINISHED:
        return
    plans, status = change.tx.plans, P(payment.status)
    if status is P.FAILED:
        if instalment.status == "collecting":
            await _declined(change, instalment)
    elif status not in WENT_BACK:
        if instalment.status != "paid":
            await plans.mark_paid(instalment)
    elif instalment.status in {"paid", "collecting"}:
        # Not asked for again by itself: somebody wanted it back, or the bank took it.
        await plans.change_instalment(instalment, status="missed", paid_at=None, next_try_on=None)


async def _declined(change: PlanChange, instalment: "PlanInstalment") -> None:
    """Asked for again after some days, as often as the rule has it; after that there are days of grace."""
    plans = change.tx.plans
    if not change.is_open:
        await plans.change_instalment(instalment, status="cancelled")
        return
    # Never before the day on which it was asked for: whoever asks may have another clock.
    day = max(change.today, instalment.asked_on or change.today)
    words = f"Instalment {instalment.number} of {len(change.instalments)} was declined"
    if await plans.declines(instalment.id) < MOST_TRIES:
        again = next_try_after(day)
        await plans.change_instalment(instalment, status="scheduled", next_try_on=again)
        words += f"; it is asked for again on {again}"
    else:
        again = last_day_of_grace(day)
        await plans.change_instalment(instalment, status="missed", next_try_on=again)
        words += f" for the last time; unless it is paid by {again} the plan is broken"
    await change.account.event(
        "plan", words, plan_id=str(change.plan.id), instalment=instalment.number, again_on=again.isoformat()
    )
