"""What is due on a payment plan now, done in one transaction; and what is next."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from activities.plan_change import PlanChange
from activities.plan_ends import forbidden, pause_plan
from activities.plan_fit import fit, owed
from activities.plan_following import settle_instalment
from activities.plan_messages import PaymentUnderWay, PlanStanding
from domain.business_days import DAY, business_day_from
from domain.deadlines import end_of_day
from domain.plan_schedule import ASKED, collected_from, judging_day, last_day_of_grace

if TYPE_CHECKING:
    from db.models import PlanInstalment

GRACE_IS_OVER = "an instalment was not paid within its days of grace"


async def catch_up(change: PlanChange) -> PlanStanding:
    """Do what is due, if anything is; nothing that was done before, and at most one payment in a day.

    When it is to be looked at again is written down, so that a plan is found that nobody works.
    """
    await _heed_what_ended(change)
    await _keep_in_line_with_account(change)
    await fit(change)
    if change.plan.status == "active" and change.under_way is None and not _needs_method(change):
        await _take_step(change)
    standing = await _standing(change)
    await change.tx.plans.note_look(change.plan, standing.look_at)
    return standing


async def _heed_what_ended(change: PlanChange) -> None:
    """The payment under way has ended, and nobody has told the plan: the books do, so this mends only."""
    instalment = change.under_way
    if instalment is not None and instalment.payment_id is not None:
        payment = await change.tx.payments.get(instalment.payment_id)
        await settle_instalment(change, instalment, payment)


async def _keep_in_line_with_account(change: PlanChange) -> None:
    """A plan pauses while its account takes no payments, and goes on by itself after."""
    if not change.is_open or change.plan.paused_because == ASKED:
        return
    because = await forbidden(change.account)
    if because is None and change.plan.status == "paused":
        await change.go_on("The payment plan goes on: the account takes payments again")
    elif because is not None and change.plan.paused_because != because:
        await pause_plan(change.account, change.plan, because)


async def _take_step(change: PlanChange) -> None:
    first = change.left[0]
    if first.status == "missed" or not change.by_provider:
        if change.now >= _judged_at(change):
            await _judge(change, first)
        return
    if _was_away(change):
        await change.move_on("What could not be asked for when it was due is due later")
        first = change.left[0]
    asked_for = _next_day(change)
    if asked_for > change.today:
        if asked_for not in {first.next_try_on, first.collect_on}:
            await change.tx.plans.change_instalment(first, next_try_on=asked_for)
        return
    if change.now < collected_from(asked_for, change.zone):
        return
    amount = await change.amount_of(first)
    others = await change.tx.payments.reserved(change.plan.account_id)
    if amount > await owed(change) - others:
        # Some of what is owed may just be coming: whether it does is known soon.
        tomorrow = business_day_from(change.today + DAY)
        await change.tx.plans.change_instalment(first, next_try_on=tomorrow)
        return
    await change.ask(first, amount)


def _was_away(change: PlanChange) -> bool:
    """Whether the day of the next but one has come and the next was not asked for: as after a pause, what is
    left is asked for in the rhythm that was agreed on, and nobody pays for two periods in one.
    """
    first_two = change.untried[:2]
    return first_two[:1] == change.left[:1] and len(first_two) > 1 and first_two[1].collect_on <= change.today


def _next_day(change: PlanChange) -> date:
    """The business day on which what is left is asked for: not before the day agreed on, and one a day."""
    first = change.left[0]
    day = max(first.next_try_on or first.collect_on, first.collect_on, change.today)
    if day == change.today and any(one.asked_on == day for one in change.instalments):
        day += DAY
    return business_day_from(day)


async def _judge(change: PlanChange, instalment: "PlanInstalment") -> None:
    """Break the plan, unless people have not had a business day since to enter what came within grace."""
    if _judged_on(instalment) > _grace(instalment):
        await change.end("broken", GRACE_IS_OVER)
        return
    day = judging_day(change.now, change.zone)
    await change.tx.plans.change_instalment(instalment, judged_on=day)
    grace = _grace(instalment)
    words = f"Instalment {instalment.number} of {len(change.instalments)} was not paid by {grace}"
    await change.event(
        f"{words}: unless what came by then is entered by the end of {day} the plan is broken",
        instalment=instalment.number,
    )


def _judged_at(change: PlanChange) -> datetime:
    """When the first of what is left is judged."""
    return end_of_day(_judged_on(change.left[0]), change.zone)


def _judged_on(instalment: "PlanInstalment") -> date:
    """The last day of grace; when that was looked at, the business day after, unless it was moved since."""
    return max(_grace(instalment), instalment.judged_on or date.min)


def _grace(instalment: "PlanInstalment") -> date:
    if instalment.status == "missed" and instalment.next_try_on is not None:
        return instalment.next_try_on
    return last_day_of_grace(instalment.due_on)


def _needs_method(change: PlanChange) -> bool:
    return change.is_open and change.by_provider and change.plan.customer_ref is None


async def _standing(change: PlanChange) -> PlanStanding:
    under_way = change.under_way
    first = under_way or next(iter(change.left), None)
    payment = None
    if under_way is not None and under_way.payment_id is not None:
        found = await change.tx.payments.get(under_way.payment_id)
        payment = PaymentUnderWay(payment_id=found.id, key=found.idempotency_key)
    look_at = _look_at(change) if change.is_open and payment is None else None
    return PlanStanding(
        status=change.plan.status,
        of=len(change.instalments),
        number=first.number if first else None,
        due_on=first.due_on if first else None,
        payment=payment,
        look_at=look_at.astimezone(UTC) if look_at else None,
        needs_method=_needs_method(change),
    )


def _look_at(change: PlanChange) -> datetime | None:
    """When the plan is to be looked at again, if nothing happens before."""
    if change.plan.paused_because == ASKED or not change.left:
        return None
    if change.plan.status == "paused":
        return collected_from(business_day_from(change.today + DAY), change.zone)
    if change.left[0].status == "missed" or not change.by_provider:
        return _judged_at(change)
    return collected_from(_next_day(change), change.zone)
