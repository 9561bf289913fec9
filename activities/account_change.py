"""One account inside one transaction: judged under its lock, changed with event, audit record and rank."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.accounts import AccountStatus, check_move, check_system_move
from domain.errors import Conflict, NotFound
from domain.holds import stops_work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from db.account_changes import LockedAccount
    from db.session import Transaction
    from domain.scoring import Scorer

S = AccountStatus


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

        What is left behind ends: a closed account has no open promise, offer or dispute any more.
        """
        before = self.account.status
        (check_move if by_hand else check_system_move)(before, to)
        values: dict[str, Any] = {"status": to.value}
        if to is S.CLOSED:
            values |= {"closed_reason": details["reason"], "promised": False}
            await self._end_everything()
        elif before is S.CLOSED:
            values["closed_reason"] = None
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
        """Post the opposite of a journal, and bring the balance in line. ``NotFound``."""
        added = await self.tx.ledger.reverse(journal_id, key=key, occurred_at=occurred_at)
        await self._balance(self.account.balance + added, journal_id)

    async def _balance(self, balance: "Decimal", journal_id: UUID) -> None:
        old = {"balance": self.account.balance}
        await self.write("account.balance", {"balance": balance}, old=old, new={"journal_id": journal_id})

    async def bring_holds_in_line(self) -> None:
        """Bring ``held`` in line with the holds in force, on the debtor's other accounts too."""
        kinds = [hold.kind for hold in await self.tx.holds.in_force(self.account)]
        held = stops_work(kinds)
        if held != self.account.held:
            await self.write("account.held", {"held": held}, old={"held": not held}, new={})
        others = await self.tx.account_changes.hold_person(self.account.debtor_id, self.account.id)
        for other in others:
            await self.tx.audit.record("account.held", "account", other, new={"by_hold_on": self.account.id})
        await self.tx.lifecycles.notify(others)
        self._touched.update(others)

    async def settle(self) -> None:
        """Give every account that was changed the rank that it has now."""
        await self.tx.rescore(self._scorers, sorted(self._touched))

    async def _end_everything(self) -> None:
        account_id = self.account.id
        if promise := await self.tx.promises.open_on(account_id):
            await self.tx.promises.end(promise, "cancelled")
        if offer := await self.tx.offers.open_on(account_id):
            await self.tx.offers.end(offer, "cancelled")
        if dispute := await self.tx.disputes.open_on(account_id):
            await self.tx.disputes.cancel(dispute)
