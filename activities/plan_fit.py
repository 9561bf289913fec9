"""A plan in line with what is owed on its account, and with what was paid there otherwise."""

from decimal import Decimal
from typing import TYPE_CHECKING

from domain.plan_schedule import in_full, reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from activities.plan_change import PlanChange
    from db.models import PlanInstalment

NOTHING = Decimal(0)


async def owed(change: "PlanChange") -> Decimal:
    """What is owed on the plan's account: the balance, or what is left of a settlement that was accepted."""
    balance, account_id = change.account.account.balance, change.plan.account_id
    offer = await change.tx.offers.accepted_on(account_id)
    if offer is None:
        return balance
    received = await change.tx.payments.received_since(account_id, offer.resolved_at or offer.made_at)
    return max(min(balance, offer.amount - received), NOTHING)


async def fit(change: "PlanChange") -> None:
    """Bring what is left in line with what is owed and what came in; end a plan of which nothing is left.

    What a debtor pays by themselves counts for the instalment that is late, or, where nothing is asked for at
    the provider, for one after the other; what is owed no more is taken off the last ones.
    """
    if not change.is_open:
        return
    if change.plan.offer_id is not None and not await _settlement_stands(change):
        await change.end("cancelled", "its settlement stands no more")
        return
    if change.by_provider:
        await _make_good_what_is_late(change)
    else:
        await _count_what_came(change)
    await _take_off(change, await _to_be_paid(change))
    if not change.left and change.under_way is None:
        await _complete(change)


async def _settlement_stands(change: "PlanChange") -> bool:
    offer = await change.tx.offers.accepted_on(change.plan.account_id)
    return offer is not None and offer.id == change.plan.offer_id


async def _complete(change: "PlanChange") -> None:
    if any(one.status == "missed" for one in change.instalments):
        await change.end("broken", "what was paid on it went back")
    else:
        await change.end("completed", "all instalments are paid")


async def _make_good_what_is_late(change: "PlanChange") -> None:
    """One that was declined is paid by other money, when so much has come since it was first asked for."""
    late, received = await _received_for_what_is_late(change)
    if late is not None and received >= late.amount:
        await _paid_otherwise(change, late)


async def _received_for_what_is_late(change: "PlanChange") -> "tuple[PlanInstalment | None, Decimal]":
    """The instalment that was declined, and what came in otherwise since it was first asked for.

    The next one is asked for when this one is paid, so that no money counts for two.
    """
    late = next((one for one in change.left if one.declines), None)
    if late is None or late.asked_at is None:
        return None, NOTHING
    return late, max(await change.tx.plans.received_otherwise(change.plan, late.asked_at), NOTHING)


async def _count_what_came(change: "PlanChange") -> None:
    received = await _received_since_it_was_made(change)
    needed = _paid(change)
    for one in change.left:
        needed += one.amount
        if received < needed:
            return
        await _paid_otherwise(change, one)


async def _paid_otherwise(change: "PlanChange", instalment: "PlanInstalment") -> None:
    await change.tx.plans.mark_paid(instalment)
    facts = {"instalment": instalment.number, "amount": instalment.amount}
    await change.account.record("plan.instalment_paid", "payment_plan", change.plan.id, facts)
    await change.event(
        f"Instalment {instalment.number} of {len(change.instalments)} is paid by what came in",
        instalment=instalment.number,
    )


async def _to_be_paid(change: "PlanChange") -> Decimal:
    """What may be left of the plan beside what is under way: what is owed; and what has come in for an
    instalment in part, of one that is late or of a debtor who pays by themselves, which counts for that one.
    """
    left = await owed(change)
    if change.under_way is not None:
        left -= change.under_way.amount
    if change.by_provider:
        _, received = await _received_for_what_is_late(change)
        return left + received
    return left + max(await _received_since_it_was_made(change) - _paid(change), NOTHING)


async def _take_off(change: "PlanChange", left: Decimal) -> None:
    """Let what is to be paid yet come to ``left`` at most: the last ones become smaller, down to nothing."""
    late = [one for one in change.left if one.declines]
    untried = change.untried
    if change.plan.varies_down or not change.by_provider:
        for_late = [min(one.amount, max(left, NOTHING)) for one in late]
        fewer = reduced(_amounts(untried), left - sum(for_late, NOTHING))
    else:
        # The rest of one that was paid in part is another amount, too.
        for_late = in_full(_amounts(late), await owed(change))
        fewer = in_full(_amounts(untried), left - sum(for_late, NOTHING))
    changes = [
        (one, new)
        for one, new in zip([*late, *untried], [*for_late, *fewer], strict=True)
        if new != one.amount
    ]
    if not changes:
        return
    shown = [
        {"instalment": one.number, "old": format(one.amount, "f"), "new": format(new, "f")}
        for one, new in changes
    ]
    for one, new in changes:
        if new == 0:
            await change.tx.plans.change_instalment(one, status="cancelled", next_try_on=None)
        else:
            await change.tx.plans.change_instalment(one, amount=new)
    await change.account.record("plan.shortened", "payment_plan", change.plan.id, {"amounts": shown})
    rest = sum(_amounts(change.left), NOTHING)
    words = (
        f"The payment plan is shortened: {rest:,.2f} {change.plan.currency} of it are left to be asked for"
    )
    await change.event(words, amounts=shown)


async def _received_since_it_was_made(change: "PlanChange") -> Decimal:
    return await change.tx.payments.received_since(change.plan.account_id, change.plan.created_at)


def _paid(change: "PlanChange") -> Decimal:
    return sum(_amounts(one for one in change.instalments if one.status == "paid"), NOTHING)


def _amounts(instalments: "Iterable[PlanInstalment]") -> "Sequence[Decimal]":
    return [one.amount for one in instalments]
