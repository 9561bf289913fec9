"""What money that came in, or went back, means for its account: its promise, settlement, end and return."""

from typing import TYPE_CHECKING

from activities.account_change import AccountChange
from domain.accounts import OPEN_STATUSES, PAID, SETTLED_FOR_LESS, AccountStatus
from domain.deadlines import promise_deadline

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from db.account_changes import LockedAccount
    from db.models import Promise, SettlementOffer

S = AccountStatus


async def came_in(change: AccountChange, occurred_at: "datetime") -> None:
    """A promise may be kept, a settlement reached; an account that owes nothing is settled and closed.

    Does nothing where that was done before.
    """
    promise = await change.tx.promises.open_on(change.account.id)
    if promise is not None and await is_kept(change, promise):
        await end_promise(change, promise, kept=True)
    offer = await change.tx.offers.accepted_on(change.account.id)
    if offer is not None and change.account.balance > 0 and change.account.status in OPEN_STATUSES:
        await _settle_if_reached(change, offer, occurred_at)
    if change.account.balance > 0:
        return
    if change.account.status in OPEN_STATUSES:
        await change.move(S.SETTLED, "Nothing is owed any more", reason=PAID)
    if change.account.status is S.SETTLED and await change.tx.offers.kept_on(change.account.id) is None:
        await change.move(S.CLOSED, "Paid in full", reason=PAID)


async def went_back(change: AccountChange, occurred_at: "datetime") -> None:
    """A settlement that is no longer paid does not last; an account that was settled or closed as paid and
    owes again is worked again. What was paid beyond a settlement and went back is forgiven instead.
    """
    offer = await change.tx.offers.kept_on(change.account.id)
    if offer is not None:
        if await _received(change, offer) < offer.amount:
            await _owe_again(change, offer, occurred_at)
        elif offer.write_off_id is not None and (back := await change.tx.offers.given_back(offer)) > 0:
            await _forgive_anew(change, offer, offer.write_off_id, back, occurred_at)
    if change.account.balance > 0 and _was_paid(change.account):
        await change.move(S.IN_CONTACT, "A payment was reversed: a balance is left")
        dispute = await change.tx.disputes.reopen(change.account.id)
        if dispute is not None:
            await change.record("dispute.reopened", "dispute", dispute.id, {})
            await change.move(S.DISPUTED, "Its dispute was never answered", dispute_id=str(dispute.id))


async def is_kept(change: AccountChange, promise: "Promise") -> bool:
    """Whether what was paid in the promise's window reaches what was promised."""
    view = await change.tx.lifecycles.view(change.account.id)
    until = promise_deadline(promise.due_date, view.zone)
    return await change.tx.promises.received(promise, until) >= promise.amount


async def end_promise(change: AccountChange, promise: "Promise", *, kept: bool) -> None:
    """A promise that was kept or broken is over; either way the account goes back to the worklist."""
    status = "kept" if kept else "broken"
    await change.tx.promises.end(promise, "kept" if kept else "broken")
    if change.account.promised:
        await change.write("account.promised", {"promised": False}, old={"promised": True}, new={})
    await change.record(f"promise.{status}", "promise", promise.id, {})
    await change.event(
        "promise",
        f"The promise to pay {promise.amount:,.2f} {promise.currency} by {promise.due_date} was {status}",
        old="open",
        new=status,
        promise_id=str(promise.id),
    )


async def _settle_if_reached(
    change: AccountChange, offer: "SettlementOffer", occurred_at: "datetime"
) -> None:
    """An accepted offer whose amount was paid: the rest is forgiven, the account settled."""
    if await _received(change, offer) < offer.amount:
        return
    forgiven = change.account.balance
    write_off_id = await change.forgive_rest(key=f"offer/{offer.id}", occurred_at=occurred_at)
    await change.tx.offers.keep(offer, write_off_id)
    await change.record("offer.kept", "settlement_offer", offer.id, {"forgiven": forgiven})
    await change.event(
        "offer",
        f"The settlement was paid; {forgiven:,.2f} {offer.currency} are forgiven",
        old="accepted",
        new="kept",
        offer_id=str(offer.id),
        forgiven=format(forgiven, "f"),
    )
    await change.move(S.SETTLED, "Settled as agreed", reason=SETTLED_FOR_LESS, offer_id=str(offer.id))


async def _forgive_anew(
    change: AccountChange,
    offer: "SettlementOffer",
    earlier: "UUID",
    more: "Decimal",
    occurred_at: "datetime",
) -> None:
    """Forgive so much more, in one journal instead of the earlier one."""
    before = change.account.balance
    await change.owe_again(earlier, key=f"write-off/{earlier}", occurred_at=occurred_at)
    forgiven = min(change.account.balance - before + more, change.account.balance)
    key = f"offer/{offer.id}/{earlier}"
    write_off_id = await change.forgive_rest(forgiven, key=key, occurred_at=occurred_at)
    await change.tx.offers.keep(offer, write_off_id)
    await change.record("offer.kept", "settlement_offer", offer.id, {"forgiven": forgiven})
    await change.event(
        "offer",
        f"The settlement stands: {forgiven:,.2f} {offer.currency} are forgiven now",
        offer_id=str(offer.id),
        forgiven=format(forgiven, "f"),
    )


async def _owe_again(change: AccountChange, offer: "SettlementOffer", occurred_at: "datetime") -> None:
    if offer.write_off_id is not None:
        await change.owe_again(
            offer.write_off_id, key=f"write-off/{offer.write_off_id}", occurred_at=occurred_at
        )
    await change.tx.offers.end(offer, "cancelled")
    await change.record("offer.cancelled", "settlement_offer", offer.id, {"money_went_back": True})
    await change.event(
        "offer",
        "The settlement did not last: money went back",
        old="kept",
        new="cancelled",
        offer_id=str(offer.id),
    )


async def _received(change: AccountChange, offer: "SettlementOffer") -> "Decimal":
    """What was paid since an offer was accepted, and did not go back."""
    return await change.tx.payments.received_since(change.account.id, offer.resolved_at or offer.made_at)


def _was_paid(account: "LockedAccount") -> bool:
    """Settled, or closed as paid: not recalled, nor closed by somebody."""
    closed_as_paid = account.status is S.CLOSED and account.closed_reason == PAID
    return closed_as_paid or account.status is S.SETTLED
