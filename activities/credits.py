"""Money that is owed back to a debtor, put on a debt of theirs, and taken off it when it goes back."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from activities.account_change import AccountChange
from activities.account_money import came_in, went_back
from domain.accounts import PAID, AccountStatus
from domain.holds import HoldKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from db.credits import CreditSource
    from db.lifecycles import NoticeSignal

NOTHING = Decimal(0)

STAYS = frozenset({HoldKind.BANKRUPTCY, HoldKind.DECEASED})
"""Holds under which no money of a person is set off against their debt by itself (11 U.S.C. 362(a)(7))."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of what is owed back of one payment is meant."""

    source: "CreditSource"
    amount: Decimal


def shares(sources: "Sequence[CreditSource]", amount: Decimal) -> list[Share]:
    """An amount that is owed back, taken from its payments, the oldest first."""
    found, left = [], amount
    for source in sources:
        part = min(left, source.free)
        if part > 0:
            found.append(Share(source, part))
            left -= part
    return found


async def apply_credit(
    owner: AccountChange, debt: AccountChange, taken: "Sequence[Share]", *, key: str, occurred_at: "datetime"
) -> list[UUID]:
    """Put money that is owed back on ``owner`` on the debt of an account of the same debtor; the journals.

    What follows from money that came in follows there: a promise kept, a settlement reached, the account
    settled. ``debt`` may be ``owner`` itself.
    """
    journals = []
    for share in taken:
        journal_id = await owner.tx.ledger.apply(
            share.source.journal_id,
            share.source.part(share.amount),
            (owner.account.id, debt.account.id),
            owner.account.currency,
            key=f"{key}/{share.source.payment_id}",
            occurred_at=occurred_at,
        )
        await debt.move_balance(-share.amount, journal_id)
        journals.append(journal_id)
    total = sum((share.amount for share in taken), NOTHING)
    words = f"{total:,.2f} {owner.account.currency} that were to be given back"
    here = debt.account.id == owner.account.id
    if not here:
        await owner.event(
            "payment",
            f"{words} were applied to another debt",
            applied=format(total, "f"),
            to_account_id=str(debt.account.id),
        )
    await debt.event(
        "payment",
        f"{words} {'' if here else 'on another account '}were applied to the debt",
        applied=format(total, "f"),
        from_account_id=str(owner.account.id),
    )
    await came_in(debt, occurred_at)
    await _tell(debt, "payment_posted")
    return journals


async def pay_what_is_owed(owner: AccountChange, *, key: str, occurred_at: "datetime") -> None:
    """Put money that is owed back on an account on its own debt, when something on it is owed again.

    Nobody has to wait for their money while they are asked for the same amount. Not on a debt that was
    recalled or closed by somebody, is disputed, or is stayed: there, people decide.
    """
    if owner.account.balance <= 0 or not await _counts(owner):
        return
    if taken := shares(await owner.tx.credits.sources(owner.account.id), owner.account.balance):
        await apply_credit(owner, owner, taken, key=key, occurred_at=occurred_at)


async def _counts(owner: AccountChange) -> bool:
    account = owner.account
    if account.status is AccountStatus.CLOSED and account.closed_reason != PAID:
        return False
    if account.status is AccountStatus.DISPUTED or await owner.tx.disputes.open_on(account.id) is not None:
        return False
    return STAYS.isdisjoint(hold.kind for hold in await owner.tx.holds.in_force(account))


async def take_back_applied(
    owner: AccountChange, payment_journal: UUID, amount: Decimal, *, key: str, occurred_at: "datetime"
) -> None:
    """Before ``amount`` of a payment goes back: take so much of it off the debts that it was applied to as
    its own account cannot give back without owing more, the latest application first.
    """
    left = await owner.tx.ledger.left(payment_journal, owner.account.id)
    wanted = amount - left.unapplied - left.credit
    for one in await owner.tx.credits.applied(payment_journal):
        if wanted <= 0:
            return
        back = min(wanted, one.amount)
        wanted -= back
        here = one.account_id == owner.account.id
        debt = owner if here else await owner.beside(one.account_id)
        journal_id = await owner.tx.ledger.take_back_applied(
            one.journal_id,
            one.part(back),
            (owner.account.id, debt.account.id),
            owner.account.currency,
            key=f"{key}/{one.journal_id}",
            occurred_at=occurred_at,
        )
        await debt.move_balance(back, journal_id)
        words = f"{back:,.2f} {debt.account.currency} that had been applied to the debt went back"
        await debt.event("payment", words, went_back=format(back, "f"), from_account_id=str(owner.account.id))
        if not here:  # Of the payment's own account, whoever has the rest go back sees to it.
            await pay_what_is_owed(debt, key=f"{key}/{one.journal_id}", occurred_at=occurred_at)
            await went_back(debt, occurred_at)
            await _tell(debt, "payment_reversed")
            await debt.settle()


async def _tell(debt: AccountChange, signal: "NoticeSignal") -> None:
    if await debt.tx.plans.open_on(debt.account.id) is not None:
        await debt.note_plan()
    if debt.account.worked:
        await debt.tx.lifecycles.notify([debt.account.id], signal)
