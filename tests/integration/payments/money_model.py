"""What payments come to: a model in memory that shares no code with the product.

The provider's side is a plain account of facts. Which facts our books hear of first is theirs to decide:
``books`` takes the order of their journals as given, and works out what must follow from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)
UNFINISHED = {"pending", "processing", "requires_action"}
GOES_BACK = {"refund", "chargeback"}
APPLIED = {"application": 1, "application_reversal": -1}
"""What moves no money of a payment: from what is owed back to the debt, and off it again."""

METHODS = {
    "card": ("card", "pm_card_visa", "succeeded"),
    "slow to refund": ("card", "pm_card_pendingRefund", "succeeded"),
    "declined": ("card", "pm_card_visa_chargeDeclinedInsufficientFunds", "failed"),
    "asks": ("card", "pm_card_authenticationRequired", "requires_action"),
    "bank": ("bank_transfer", "pm_usBankAccount_processing", "processing"),
    "cash": ("cash", None, "succeeded"),
}
"""Ways to pay: our method, Stripe's test method, and where the payment stands once it was asked for."""


@dataclass
class Refund:
    """A refund: ``pending``, ``succeeded``, ``failed`` (also one that Stripe refused)."""

    amount: Decimal
    status: str
    id: str = ""


@dataclass
class Dispute:
    """A dispute at the bank: ``needs_response``, ``won``, ``lost``. ``seen``: somebody lifted its hold."""

    amount: Decimal
    id: str
    status: str = "needs_response"
    seen: bool = False

    @property
    def takes(self) -> bool:
        return self.status != "won"


@dataclass
class Payment:
    """One payment as it truly stands. ``sure``: whether Stripe is known to have done what was asked for."""

    way: str
    amount: Decimal
    key: str
    id: str
    intent: str | None = None
    state: str = "pending"
    refunds: list[Refund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    sure: bool = False

    @property
    def by_stripe(self) -> bool:
        return self.way != "cash"

    def refunded(self, *statuses: str) -> Decimal:
        return sum((one.amount for one in self.refunds if one.status in statuses), ZERO)

    @property
    def disputed(self) -> bool:
        return any(one.takes for one in self.disputes)

    @property
    def left(self) -> Decimal:
        """What may still be refunded."""
        if self.state != "succeeded" or self.disputed:
            return ZERO
        return self.amount - self.refunded("pending", "succeeded")

    @property
    def disputable(self) -> Decimal:
        if self.state != "succeeded" or self.disputed or not self.by_stripe:
            return ZERO
        return self.left

    @property
    def net(self) -> Decimal:
        """What we have of it."""
        if self.state != "succeeded":
            return ZERO
        taken = sum((one.amount for one in self.disputes if one.takes), ZERO)
        return self.amount - self.refunded("succeeded") - taken

    @property
    def status(self) -> str:
        if self.state != "succeeded":
            return self.state
        if self.disputed:
            return "disputed"
        if (back := self.refunded("succeeded")) == self.amount:
            return "refunded"
        return "partially_refunded" if back else "succeeded"

    def shown(self) -> tuple[object, ...]:
        """How our books must show it."""
        return (
            self.status,
            self.amount,
            self.refunded("succeeded") if self.state == "succeeded" else ZERO,
            sorted((one.amount, one.status) for one in self.refunds),
            sorted((one.amount, one.status) for one in self.disputes),
        )


class Entry(NamedTuple):
    """A journal of the product's: of which payment, what kind, under which key, how much."""

    payment: str
    kind: str
    key: str
    amount: Decimal


class Books(NamedTuple):
    """What an account must look like."""

    balance: Decimal
    credit: Decimal
    unapplied: Decimal
    losses: Decimal
    status: str


class Parts(NamedTuple):
    """Where a payment's money is; ``losses``: what went back beyond all of it; ``applied``: what was owed
    back at first, and is on the debt.
    """

    debt: Decimal = ZERO
    credit: Decimal = ZERO
    unapplied: Decimal = ZERO
    losses: Decimal = ZERO
    applied: Decimal = ZERO

    @property
    def on_the_debt(self) -> Decimal:
        return self.debt + self.applied

    def less(self, amount: Decimal) -> "Parts":
        """What is left when an amount has gone back: what nobody owed goes first."""
        unapplied = min(self.unapplied, amount)
        credit = min(self.credit, amount - unapplied)
        debt = min(self.debt, amount - unapplied - credit)
        lost = amount - unapplied - credit - debt
        return Parts(
            self.debt - debt,
            self.credit - credit,
            self.unapplied - unapplied,
            self.losses + lost,
            self.applied,
        )

    def more(self, amount: Decimal, balance: Decimal, *, recalled: bool) -> "Parts":
        """What is there when an amount has come in: losses are made good first."""
        good = min(self.losses, amount)
        rest, losses = amount - good, self.losses - good
        if recalled:
            return self._replace(unapplied=self.unapplied + rest, losses=losses)
        debt = min(balance, rest)
        return self._replace(debt=self.debt + debt, credit=self.credit + rest - debt, losses=losses)

    def moved(self, amount: Decimal) -> "Parts":
        """What is where when so much that was owed back is put on the debt; below zero, taken off it."""
        return self._replace(credit=self.credit - amount, applied=self.applied + amount)


@dataclass
class Account:
    """A debt and what was paid on it. ``stale``: our books may not have heard of everything yet."""

    id: str
    owed: Decimal
    payments: list[Payment] = field(default_factory=list)
    entries: Sequence[Entry] = ()
    recalled_after: int | None = None
    stale: bool = False

    @property
    def held(self) -> bool:
        return any(one.takes and not one.seen for payment in self.payments for one in payment.disputes)

    @property
    def reserved(self) -> Decimal:
        return sum((one.amount for one in self.payments if one.state in UNFINISHED), ZERO)

    @property
    def room(self) -> Decimal:
        """What may still be asked for, as far as the last look at the books tells."""
        return self.books().balance - self.reserved

    def refuses(self, way: str, amount: Decimal, *, credit_taken: bool) -> bool:
        """Whether nobody is asked for an amount. Cash is here already, whatever the account is."""
        if way == "cash":
            return False
        closed = self.books().status == "closed"
        return closed or self.held or (amount > max(self.room, ZERO) and not credit_taken)

    def books(self) -> Books:
        """What follows from the journals, in their order."""
        return self._follow()[0]

    def _follow(self) -> tuple[Books, dict[str, Parts]]:
        balance, status = self.owed, "new"
        parts: dict[str, Parts] = {}
        for place, entry in enumerate(self.entries):
            before = parts.get(entry.payment, Parts())
            if entry.kind in GOES_BACK:
                after = before.less(entry.amount)
            elif entry.kind in APPLIED:
                after = before.moved(APPLIED[entry.kind] * entry.amount)
            else:
                recalled = self.recalled_after is not None and place >= self.recalled_after
                after = before.more(entry.amount, balance, recalled=recalled)
            parts[entry.payment] = after
            balance -= after.on_the_debt - before.on_the_debt
            if balance > 0 and status == "closed":
                status = "in_contact"
            elif balance == 0:
                status = "closed"
        if self.recalled_after is not None:
            status = "closed"
        credit, unapplied, losses = (sum((one[which] for one in parts.values()), ZERO) for which in (1, 2, 3))
        return Books(balance, credit, unapplied, losses, status), parts

    def wrong(self) -> Iterator[str]:
        """What the journals say that is not true, once all has been heard."""
        for payment in self.payments:
            mine = [one for one in self.entries if one.payment == payment.id]
            kinds = [one.kind for one in mine]
            if kinds.count("payment") != (payment.state == "succeeded") or kinds[:1] not in ([], ["payment"]):
                yield f"{payment} has the journals {kinds}"
            moved = [one for one in mine if one.kind not in APPLIED]
            net = sum((-one.amount if one.kind in GOES_BACK else one.amount for one in moved), ZERO)
            if net != payment.net:
                yield f"{payment} comes to {payment.net}, its journals to {net}"
        books, parts = self._follow()
        if any(part < 0 for one in parts.values() for part in one):
            yield f"less than nothing is somewhere: {parts}"
        if self.recalled_after is None and books.balance > 0:
            for payment in self.payments:
                owed_back = parts.get(payment.id, Parts()).credit - payment.refunded("pending")
                if owed_back > 0 and not payment.disputed:
                    yield f"{books.balance} are owed though {owed_back} of {payment} are owed back"
        known = {payment.id for payment in self.payments}
        yield from (f"{one} is of no payment" for one in self.entries if one.payment not in known)
