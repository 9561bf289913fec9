"""One account inside one transaction: judged under its lock, changed with event, audit record and rank."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.accounts import OPEN_STATUSES, AccountStatus, check_move, check_system_move
from domain.errors import Conflict, NotFound
from domain.holds import OF_THE_PERSON, STOPS_WORK_ON_ALL, stops_work

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from db.account_changes import LockedAccount
    from db.models import Hold
    from db.session import Transaction
    from domain.scoring import Scorer

S = AccountStatus

ENDED = "Ended"
"""What is said of a hold whose last day is over."""


class AccountChange:
    """An account that this transaction has locked, its debtor with it.

    Whoever changes it through here gets the timeline event, the audit record and, at the end (``settle``),
    the rank that the change has brought about.
    """

    def __init__(self, tx: "Transaction", account: "LockedAccount", scorers: "Mapping[str, Scorer]") -> None:
        self.tx = tx
        self.account = account
        self._scorers = scorers
        self._touched: set[UUID] = set()

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

    async def move(
        self, to: AccountStatus, description: str, *, by_hand: bool = False, **details: Any
    ) -> None:
        """Move the account; ``IllegalMove`` when it cannot go there. ``details`` go with the event.

        What is left behind ends: a settled account has no open promise or offer any more, a closed one no
        dispute, either.
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

    async def receive(self, amount: "Decimal", *, key: str, occurred_at: "datetime") -> UUID:
        """Post a payment of at most the balance, and lower it; the journal's id. ``Conflict`` above it."""
        if amount > self.account.balance:
            raise Conflict("the payment is more than the balance", balance=format(self.account.balance, "f"))
        journal_id = await self.tx.ledger.receive(
            self.account.id, amount, self.account.currency, key=key, occurred_at=occurred_at
        )
        await self._balance(self.account.balance - amount, journal_id)
        return journal_id

    async def reverse(self, journal_id: UUID, *, key: str, occurred_at: "datetime") -> None:
        """Post the opposite of a payment of this account, and bring the balance in line.

        ``NotFound``; ``Conflict`` where the journal is none, or was reversed already.
        """
        added = await self.tx.ledger.reverse(journal_id, self.account.id, key=key, occurred_at=occurred_at)
        await self._balance(self.account.balance + added, journal_id)

    async def _balance(self, balance: "Decimal", journal_id: UUID) -> None:
        old = {"balance": self.account.balance}
        await self.write("account.balance", {"balance": balance}, old=old, new={"journal_id": journal_id})

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
        account_id, debtor_id, changes = self.account.id, self.account.debtor_id, self.tx.account_changes
        if not STOPS_WORK_ON_ALL.isdisjoint(kinds):
            for other in await changes.hold_person(debtor_id, account_id):
                await self.tx.audit.record("account.held", "account", other, new={"by_hold_on": account_id})
                self._touched.add(other)
        if not OF_THE_PERSON.isdisjoint(kinds):
            await self.tx.lifecycles.notify(await changes.others(debtor_id, account_id))

    async def settle(self) -> None:
        """Give every account that was changed the rank that it has now."""
        await self.tx.rescore(self._scorers, sorted(self._touched))

    async def _end_what_is_open(self, to: AccountStatus) -> None:
        account_id, because = self.account.id, {"account_status": to.value}
        if promise := await self.tx.promises.open_on(account_id):
            await self.tx.promises.end(promise, "cancelled")
            await self.record("promise.cancelled", "promise", promise.id, because)
        if offer := await self.tx.offers.open_on(account_id):
            await self.tx.offers.end(offer, "cancelled")
            await self.record("offer.cancelled", "settlement_offer", offer.id, because)
        if to is not S.CLOSED:
            return
        if dispute := await self.tx.disputes.open_on(account_id):
            await self.tx.disputes.cancel(dispute)
            await self.record("dispute.cancelled", "dispute", dispute.id, because)
