"""One account inside one transaction: judged under its lock, changed with event, audit record and rank."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activities.plan_ends import end_with_account, follow_account
from domain.accounts import OPEN_STATUSES, PAID, AccountStatus, check_move, check_system_move
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON, STOPS_WORK_ON_ALL, stops_work
from domain.ledger import Parts, parts_of_payment
from domain.payments import FORBIDS_PAYMENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from db.account_changes import LockedAccount
    from db.ledger import GivenBack
    from db.models import Hold
    from db.session import Transaction
    from domain.scoring import Scorer

S = AccountStatus

NOTHING = Decimal(0)

ENDED = "Ended"
"""What is said of a hold whose last day is over."""


class AccountChange:
    """An account that this transaction has locked, its debtor with it.

    Whoever changes it through here gets the timeline event, the audit record and, at the end (``settle``),
    the rank that the change has brought about. ``plan_noted``: its payment plan was changed, too, and is
    noted to be told.
    """

    def __init__(self, tx: "Transaction", account: "LockedAccount", scorers: "Mapping[str, Scorer]") -> None:
        self.tx = tx
        self.account = account
        self._scorers = scorers
        self._touched: set[UUID] = set()
        self.plan_noted = False

    @classmethod
    async def begin(
        cls,
        tx: "Transaction",
        account_id: UUID,
        scorers: "Mapping[str, Scorer]",
        *,
        only_for: UUID | None = None,
    ) -> "AccountChange":
        """Lock an account. ``NotFound`` when there is none, or it is not ``only_for``'s, a collector."""
        account = await tx.account_changes.lock(account_id)
        if only_for is not None and account.assigned_to != only_for:
            raise NotFound("there is no such account")
        return cls(tx, account, scorers)

    async def beside(self, account_id: UUID) -> "AccountChange":
        """Another account of the same debtor, which this transaction has locked, too. ``NotFound``."""
        return await AccountChange.begin(self.tx, account_id, self._scorers)

    async def move(
        self, to: AccountStatus, description: str, *, by_hand: bool = False, **details: Any
    ) -> None:
        """Move the account; ``IllegalMove`` when it cannot go there. ``details`` go with the event.

        What is left behind ends: a settled account has no open promise, offer or plan any more, a closed one
        no dispute, either. The plan of a disputed one is paused.
        """
        before = self.account.status
        (check_move if by_hand else check_system_move)(before, to)
        values: dict[str, Any] = {"status": to.value}
        if to is S.CLOSED:
            values["closed_reason"] = details["reason"]
        elif before is S.CLOSED:
            values["closed_reason"] = None
        if to not in OPEN_STATUSES:
            values["promised"] = False
            await self._end_what_is_open(to)
        await self.write("account.moved", values, old={"status": before.value}, new=details)
        await self.event("status_changed", description, old=before.value, new=to.value, **details)
        if S.DISPUTED in {before, to} and to in OPEN_STATUSES:
            await follow_account(self)

    async def write(
        self, action: str, values: "Mapping[str, Any]", *, old: "Mapping[str, Any]", new: "Mapping[str, Any]"
    ) -> None:
        """Write columns of the account, recorded as ``action``; ``new`` is what the record adds to them."""
        self.account = await self.tx.account_changes.change(self.account, **values)
        self._touched.add(self.account.id)
        await self.tx.audit.record(action, "account", self.account.id, old=old, new={**values, **new})

    async def event(
        self,
        kind: str,
        description: str,
        *,
        old: str | None = None,
        new: str | None = None,
        **details: Any,
    ) -> None:
        """Put an event on the account's timeline."""
        await self.tx.timeline.add(
            self.account.id, kind, description, old=old, new=new, details=details or None
        )

    async def record(self, action: str, entity: str, entity_id: UUID, new: "Mapping[str, Any]") -> None:
        """An audit record of something beside the account itself: a promise, a hold, …"""
        await self.tx.audit.record(action, entity, entity_id, new={"account_id": self.account.id, **new})

    async def receive(self, amount: Decimal, *, key: str, occurred_at: "datetime") -> UUID:
        """Post a payment and lower the balance by its part of the debt; the journal's id.

        What is more than the debt is owed back to the debtor. Nothing is refused: the money is here.
        """
        parts = self._parts_of(amount, NOTHING)
        journal_id = await self.tx.ledger.receive(
            self.account.id, parts, self.account.currency, key=key, occurred_at=occurred_at
        )
        await self.move_balance(-parts.debt, journal_id)
        await self._owe_back(parts)
        return journal_id

    async def give_back(
        self,
        payment_id: UUID,
        amount: Decimal | None = None,
        *,
        kind: "GivenBack" = "reversal",
        key: str,
        occurred_at: "datetime",
        gone: bool = False,
    ) -> UUID:
        """Take a part or all of a payment of this account (its journal is ``payment_id``) off the ledger.

        The new journal's id. ``NotFound``; ``Conflict`` where the journal is no payment of this account, or
        less than that is left of it and it is not ``gone`` already (``LedgerStore.give_back``).
        """
        journal_id, added = await self.tx.ledger.give_back(
            payment_id, self.account.id, amount, kind=kind, key=key, occurred_at=occurred_at, gone=gone
        )
        await self.move_balance(added, journal_id)
        return journal_id

    async def post_again(
        self, payment_id: UUID, amount: Decimal, *, key: str, occurred_at: "datetime"
    ) -> UUID:
        """Post money that had been given back of a payment and is here after all; the new journal's id."""
        parts = self._parts_of(amount, await self.tx.ledger.losses(payment_id, self.account.id))
        journal_id = await self.tx.ledger.post_again(
            payment_id, self.account.id, parts, self.account.currency, key=key, occurred_at=occurred_at
        )
        await self.move_balance(-parts.debt, journal_id)
        await self._owe_back(parts)
        return journal_id

    async def forgive_rest(
        self, amount: Decimal | None = None, *, key: str, occurred_at: "datetime"
    ) -> UUID | None:
        """Write off the balance, or an amount of it, as a settlement says; None where nothing was left.

        The journal's id.
        """
        forgiven = self.account.balance if amount is None else amount
        if forgiven == 0:
            return None
        journal_id = await self.tx.ledger.forgive(
            self.account.id, forgiven, self.account.currency, key=key, occurred_at=occurred_at
        )
        await self.move_balance(-forgiven, journal_id)
        return journal_id

    async def owe_again(self, write_off_id: UUID, *, key: str, occurred_at: "datetime") -> None:
        """Take back what was forgiven: the settlement that it was forgiven for did not last."""
        added = await self.tx.ledger.owe_again(write_off_id, key=key, occurred_at=occurred_at)
        await self.move_balance(added, write_off_id)

    def _parts_of(self, amount: Decimal, losses: Decimal) -> Parts:
        takes = self.account.status is not S.CLOSED or self.account.closed_reason == PAID
        return parts_of_payment(amount, self.account.balance, takes_payments=takes, losses=losses)

    async def _owe_back(self, parts: Parts) -> None:
        """Offer back what is here and is not on the debt: on the timeline, for whoever works the account."""
        for amount, why in (
            (parts.credit, "more than was owed"),
            (parts.unapplied, "that came after the account was closed"),
        ):
            if amount:
                words = f"{amount:,.2f} {self.account.currency} {why} is to be given back"
                await self.event("payment", words, owed_back=format(amount, "f"))

    async def move_balance(self, added: Decimal, journal_id: UUID) -> None:
        """Bring the balance in line with what a journal of this transaction has posted."""
        if added:
            old = {"balance": self.account.balance}
            balance = {"balance": self.account.balance + added}
            await self.write("account.balance", balance, old=old, new={"journal_id": journal_id})

    async def end_holds(self, holds: "Sequence[Hold]", words: str) -> None:
        """End holds that are in force on this account, though they may have been placed on another.

        The event, which begins with ``words``, is on this account and on those they were placed on.
        """
        for hold in holds:
            await self.tx.holds.release(hold)
            until = {"until": hold.until.isoformat()} if hold.until else {}
            of = {"account_id": hold.account_id, "kind": hold.kind, **until}
            await self.tx.audit.record("hold.released", "hold", hold.id, new=of)
            await self._hold_ended(hold.account_id, hold, words)
        placed_here = {hold.kind for hold in holds if hold.account_id == self.account.id}
        elsewhere = {hold.kind: hold for hold in holds if hold.kind not in placed_here}
        for hold in elsewhere.values():
            await self._hold_ended(self.account.id, hold, words)
        await self.bring_holds_in_line({hold.kind for hold in holds})

    async def _hold_ended(self, account_id: UUID, hold: "Hold", words: str) -> None:
        await self.tx.timeline.add(
            account_id, "hold", f"{words}: {hold.kind}", old=hold.kind, details={"hold_id": str(hold.id)}
        )

    async def bring_holds_in_line(self, kinds: "Collection[str]") -> None:
        """Bring ``held`` in line with the holds in force, after holds of some kinds came or went.

        Those of the person count on the debtor's other accounts, too, whose lifecycles are told.
        """
        held = stops_work(hold.kind for hold in await self.tx.holds.in_force(self.account))
        if held != self.account.held:
            await self.write("account.held", {"held": held}, old={"held": not held}, new={})
        if not FORBIDS_PAYMENTS.isdisjoint(kinds):
            await follow_account(self)
        account_id, debtor_id, changes = self.account.id, self.account.debtor_id, self.tx.account_changes
        if not STOPS_WORK_ON_ALL.isdisjoint(kinds):
            for other in await changes.hold_person(debtor_id, account_id):
                await self.tx.audit.record("account.held", "account", other, new={"by_hold_on": account_id})
                self._touched.add(other)
        if not OF_THE_PERSON.isdisjoint(kinds):
            await self.tx.lifecycles.notify(await changes.others(debtor_id, account_id))

    async def note_plan(self) -> None:
        """Note that the account's payment plan was changed and is to be told."""
        await self.tx.lifecycles.notify([self.account.id])
        self.plan_noted = True

    async def settle(self) -> None:
        """Give every account that was changed the rank that it has now."""
        await self.tx.rescore(self._scorers, sorted(self._touched))

    async def _end_what_is_open(self, to: AccountStatus) -> None:
        account_id, because = self.account.id, {"account_status": to.value}
        if promise := await self.tx.promises.open_on(account_id):
            await self.tx.promises.end(promise, "cancelled")
            await self.record("promise.cancelled", "promise", promise.id, because)
            await self.cancelled("promise", promise.id, f"the account is {to.value}")
        if offer := await self.tx.offers.open_on(account_id):
            await self.tx.offers.end(offer, "cancelled")
            await self.record("offer.cancelled", "settlement_offer", offer.id, because)
            await self.cancelled("offer", offer.id, f"the account is {to.value}")
        await end_with_account(self, to)
        if to is not S.CLOSED:
            return
        if dispute := await self.tx.disputes.open_on(account_id):
            await self.tx.disputes.cancel(dispute)
            await self.record("dispute.cancelled", "dispute", dispute.id, because)
            await self.cancelled("dispute", dispute.id, f"the account is {to.value}")

    async def cancelled(self, kind: str, subject_id: UUID, because: str, *, old: str = "open") -> None:
        """The event that a promise, offer or dispute (``kind``) ended without having come to anything."""
        words = f"{kind.capitalize()} cancelled: {because}"
        await self.event(kind, words, old=old, new="cancelled", **{f"{kind}_id": str(subject_id)})
