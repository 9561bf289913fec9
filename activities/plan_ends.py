"""What becomes of an account's plan when the account can take no more payments: it pauses, or it ends.

Apart from ``plan_change`` so that ``AccountChange`` itself can see to it, in the same transaction.
"""

from typing import TYPE_CHECKING, Literal

from domain.accounts import AccountStatus
from domain.payments import PaymentRefused, check_takes_payments
from domain.plan_schedule import ASKED

if TYPE_CHECKING:
    from activities.account_change import AccountChange
    from db.models import Dispute, PaymentPlan, PlanInstalment

PlanEnd = Literal["completed", "broken", "cancelled"]

DISPUTED = "disputed"
HELD = "held"
"""Why a plan is paused, unless somebody ``ASKED`` for it: the account takes no payments for a while."""

_PAUSED_WORDS = {
    ASKED: "somebody asked for it",
    DISPUTED: "the debt is disputed",
    HELD: "a hold forbids payments",
}


def is_left(instalment: "PlanInstalment") -> bool:
    """Whether an instalment is to be asked for yet, or can be made good yet."""
    in_grace = instalment.status == "missed" and instalment.next_try_on is not None
    return instalment.status == "scheduled" or in_grace


async def check_may_be_asked(change: "AccountChange") -> None:
    """``PaymentRefused`` while a debtor must not be asked for money.

    That is where the account takes no payments, and, whatever status was set by hand, until a dispute of the
    validation period is answered (12 CFR 1006.38(d)(2)).
    """
    holds = [hold.kind for hold in await change.tx.holds.in_force(change.account)]
    check_takes_payments(change.account.status, holds)
    if dispute := await _unanswered(change):
        raise PaymentRefused(
            "the debt is disputed; nothing is asked for until that is answered (12 CFR 1006.38(d)(2))",
            dispute_id=str(dispute.id),
        )


async def forbidden(change: "AccountChange") -> str | None:
    """Why the debtor must not be asked for money now: ``DISPUTED``, ``HELD``, or None where they may be."""
    try:
        await check_may_be_asked(change)
    except PaymentRefused:
        disputed = change.account.status is AccountStatus.DISPUTED or await _unanswered(change)
        return DISPUTED if disputed else HELD
    return None


async def _unanswered(change: "AccountChange") -> "Dispute | None":
    dispute = await change.tx.disputes.open_on(change.account.id)
    return dispute if dispute is not None and dispute.in_period else None


async def pause_plan(change: "AccountChange", plan: "PaymentPlan", because: str) -> None:
    """Pause an active plan, or note that a paused one is paused for another reason."""
    before = plan.status
    await change.tx.plans.change(plan, status="paused", paused_because=because)
    await change.record("plan.paused", "payment_plan", plan.id, {"because": because})
    words = f"The payment plan is paused: {_PAUSED_WORDS[because]}"
    await change.event("plan", words, old=before, new="paused", plan_id=str(plan.id))
    await change.note_plan()


async def end_plan(change: "AccountChange", plan: "PaymentPlan", status: PlanEnd, because: str) -> None:
    """End a plan that was open: what is left of it is asked for no more.

    A payment that is under way goes on: nobody can call it back. A broken plan takes the settlement with it
    that it was to pay.
    """
    before, broke = plan.status, status == "broken"
    for one in await change.tx.plans.instalments(plan.id):
        if is_left(one):
            ends = "missed" if broke else "cancelled"
            await change.tx.plans.change_instalment(one, status=ends, next_try_on=None)
            broke = False
    await change.tx.plans.end(plan, status, because)
    await change.record(f"plan.{status}", "payment_plan", plan.id, {"because": because})
    await change.event(
        "plan", f"Payment plan {status}: {because}", old=before, new=status, plan_id=str(plan.id)
    )
    if status == "broken" and plan.offer_id is not None:
        await _end_settlement(change, plan)
    await change.note_plan()


async def end_with_account(change: "AccountChange", to: AccountStatus) -> None:
    """End the plan of an account that is being settled or closed: completed where nothing is owed."""
    plan = await change.tx.plans.open_on(change.account.id)
    if plan is None:
        return
    if change.account.balance == 0:
        await end_plan(change, plan, "completed", "nothing is owed any more")
    else:
        await end_plan(change, plan, "cancelled", f"the account is {to.value}")


async def follow_account(change: "AccountChange") -> None:
    """Pause the plan of an account that takes no payments any more; have one looked at that may go on."""
    plan = await change.tx.plans.open_on(change.account.id)
    if plan is None:
        return
    because = await forbidden(change)
    if because is not None and plan.status == "active":
        await pause_plan(change, plan, because)
    elif because is None and plan.status == "paused":
        await change.note_plan()


async def _end_settlement(change: "AccountChange", plan: "PaymentPlan") -> None:
    offer = await change.tx.offers.accepted_on(change.account.id)
    if offer is None or offer.id != plan.offer_id:
        return
    await change.tx.offers.end(offer, "cancelled")
    await change.record("offer.cancelled", "settlement_offer", offer.id, {"plan_id": plan.id})
    await change.cancelled("offer", offer.id, "its payment plan is broken", old="accepted")
