"""What accounts of one person do when they are told things: a model in memory, independent of the product.

Its tables are those of the contract, written down again. A step answers with an HTTP status, or with the
type of the error with which it is refused and which changes nothing.
"""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

BY_HAND = {
    "new": ["assigned", "closed"],
    "assigned": ["in_contact", "disputed", "closed"],
    "in_contact": ["negotiating", "disputed", "closed"],
    "negotiating": ["payment_plan", "settled", "disputed", "closed"],
    "payment_plan": ["settled", "disputed", "closed"],
    "disputed": ["in_contact", "closed"],
    "settled": ["closed"],
    "closed": [],
}
OPEN = set(BY_HAND) - {"settled", "closed"}
WORKABLE = OPEN - {"disputed"}
PERSONAL = {"bankruptcy", "deceased", "scra", "workplace", "opt_out_call", "opt_out_email", "opt_out_sms"}
STOPPING = {"cease", "attorney", "bankruptcy", "deceased", "scra", "chargeback"}

Answer = int | str
Event = tuple[str, str | None, str | None]


@dataclass
class Dispute:
    words: str
    in_writing: bool
    repeats: bool
    status: str = "open"
    outcome: str | None = None


@dataclass
class Account:
    """One account as it is; ``holds`` were placed on it, with whether they end by themselves."""

    balance: Decimal
    status: str = "new"
    collector: int | None = None
    closed_reason: str | None = None
    holds: dict[str, bool] = field(default_factory=dict)
    promise: Decimal | None = None
    paid_since: Decimal = Decimal(0)
    paid_in_window: set[int] = field(default_factory=set)
    payments: list[Decimal] = field(default_factory=list)
    reversed_: set[int] = field(default_factory=set)
    offers: list[str] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def open_dispute(self) -> Dispute | None:
        return next((dispute for dispute in self.disputes if dispute.status == "open"), None)

    def move(self, to: str, reason: str | None = None) -> None:
        if to not in OPEN:
            self.cancel_promise()
            self.cancel_offer("open")
        if to == "closed" and (dispute := self.open_dispute):
            dispute.status = "cancelled"
            self.events.append(("dispute", "open", "cancelled"))
        self.events.append(("status_changed", self.status, to))
        self.status, self.closed_reason = to, reason

    def cancel_promise(self) -> None:
        if self.promise is not None:
            self.promise = None
            self.events.append(("promise", "open", "cancelled"))

    def cancel_offer(self, standing: str) -> None:
        if standing in self.offers:
            self.offers[self.offers.index(standing)] = "cancelled"
            self.events.append(("offer", standing, "cancelled"))


class Person:
    """Somebody who owes on several accounts."""

    def __init__(self, amounts: list[Decimal]) -> None:
        self.accounts = [Account(amount) for amount in amounts]

    def holds(self, account: Account) -> dict[str, bool]:
        """What holds an account, and whether it ends: its own, and the person's."""
        personal = {
            kind: ends for other in self.accounts for kind, ends in other.holds.items() if kind in PERSONAL
        }
        return {**personal, **account.holds}

    def held(self, account: Account) -> bool:
        return bool(STOPPING & set(self.holds(account)))

    def stayed(self, account: Account) -> bool:
        """Whether the law lets nothing be collected, so that nothing is promised or offered."""
        disputed = account.open_dispute is not None and account.open_dispute.in_writing
        return disputed or "bankruptcy" in self.holds(account)

    def waits(self, account: Account) -> list[str]:
        """What an account waits for, by kind."""
        if account.status not in OPEN:
            return []
        ends = [
            "hold ends"
            for other in self.accounts
            for kind, ends in other.holds.items()
            if ends and (other is account or kind in PERSONAL)
        ]
        return sorted(
            [
                "follow-up",
                *ends,
                *(["promise due, with grace"] if account.promise else []),
                *(["settlement offer expires"] if "open" in account.offers else []),
                *(["settlement to be paid, or it lapses"] if "accepted" in account.offers else []),
                *(["dispute to be answered, or escalated"] if account.open_dispute else []),
            ]
        )

    def assign(self, account: Account, collector: int | None) -> Answer:
        if account.status not in OPEN:
            return "illegal-move"
        if collector is None:
            return "invalid"
        if account.collector != collector:
            names = [None if one is None else f"Collector {one}" for one in (account.collector, collector)]
            account.events.append(("assigned", names[0], names[1]))
            account.collector = collector
        if account.status == "new":
            account.move("assigned")
        return 200

    def transition(self, account: Account, to: str) -> Answer:
        if to not in BY_HAND[account.status]:
            return "illegal-move"
        account.move(to, "closed_by_hand" if to == "closed" else None)
        return 200

    def promise(self, account: Account, amount: Decimal, days: int) -> Answer:
        if account.status not in WORKABLE:
            return "illegal-move"
        if self.stayed(account):
            return "conflict"
        if days < 0 or amount > account.balance:
            return "invalid"
        account.cancel_promise()
        account.promise, account.paid_in_window = amount, set()
        account.events.append(("promise", None, "open"))
        return 201

    def hold(self, account: Account, kind: str, days: int | None) -> Answer:
        if account.status == "closed":
            return "illegal-move"
        if days is not None and days < 0:
            return "invalid"
        if kind in self.holds(account):
            return "conflict"
        account.holds[kind] = days is not None
        account.events.append(("hold", None, kind))
        return 201

    def release(self, account: Account, kind: str) -> Answer:
        placed = [one for one in self.accounts if kind in one.holds and (one is account or kind in PERSONAL)]
        if not placed:
            return "not-found"
        for one in placed:
            one.holds.pop(kind)
        for one in [account, *(other for other in placed if other is not account)]:
            one.events.append(("hold", kind, None))
        return 200

    def dispute(self, account: Account, words: str, days: int, *, in_writing: bool, new: bool) -> Answer:
        if account.status not in OPEN:
            return "illegal-move"
        if days > 0:
            return "invalid"
        if account.open_dispute:
            return "conflict"
        # No notice was ever sent, so any dispute in writing is within the period.
        repeats = (
            in_writing
            and not new
            and any(
                earlier.outcome in {"verified", "corrected"} and earlier.in_writing and earlier.words == words
                for earlier in account.disputes
            )
        )
        account.disputes.append(Dispute(words, in_writing, repeats))
        account.events.append(("dispute", None, "open"))
        if account.status != "disputed":
            account.move("disputed")
        return 201

    def answer(self, account: Account, number: int | None, outcome: str, *, sent: bool) -> Answer:
        if account.status == "closed":
            return "illegal-move"
        if number is None:
            return "not-found"
        dispute = account.disputes[number]
        if dispute.status != "open":
            return "conflict"
        if outcome in {"verified", "corrected", "duplicative"} and dispute.in_writing and not sent:
            return "invalid"
        if outcome == "duplicative" and not dispute.repeats:
            return "conflict"
        dispute.status, dispute.outcome = "answered", outcome
        account.events.append(("dispute", "open", "answered"))
        if outcome == "invalid":
            account.move("closed", "dispute_upheld")
        elif account.status == "disputed":
            account.move("in_contact")
        return 200

    def offer(self, account: Account, amount: Decimal | None, percent: Decimal | None, days: int) -> Answer:
        if account.status not in WORKABLE:
            return "illegal-move"
        if self.stayed(account):
            return "conflict"
        if days < 0 or (amount is None) == (percent is None):
            return "invalid"
        if percent is not None:
            amount = (account.balance * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        if amount is None or amount > account.balance:
            return "invalid"
        account.cancel_offer("open")
        account.offers.append("open")
        account.events.append(("offer", None, "open"))
        return 201

    def accept(self, account: Account, number: int | None) -> Answer:
        if account.status not in WORKABLE:
            return "illegal-move"
        if number is None:
            return "not-found"
        if account.offers[number] != "open":
            return "conflict"
        account.cancel_offer("accepted")
        account.offers[number] = "accepted"
        account.events.append(("offer", "open", "accepted"))
        return 200

    def recall(self, account: Account) -> Answer:
        if account.status == "closed":
            return "illegal-move"
        account.move("closed", "recalled")
        return 200

    def close(self, account: Account, reason: str) -> Answer:
        if "closed" not in BY_HAND[account.status]:
            return "illegal-move"
        account.move("closed", reason)
        return 200

    def pay(self, account: Account, amount: Decimal) -> None:
        """Money, posted, and what the lifecycle does about it."""
        if account.status == "closed" and account.closed_reason != "paid":
            # Nobody's debt any more here: the money waits to be given back, and people are told.
            amount = Decimal(0)
            account.events.append(("payment", None, None))
        account.balance -= amount
        account.paid_in_window.add(len(account.payments))
        account.payments.append(amount)
        received = sum(account.payments[number] for number in account.paid_in_window - account.reversed_)
        if account.promise is not None and received >= account.promise:
            account.promise = None
            account.events.append(("promise", "open", "kept"))
        if account.balance == 0 and account.status in OPEN:
            account.move("settled")
        if account.balance == 0 and account.status == "settled":
            account.move("closed", "paid")

    def reverse(self, account: Account, number: int) -> None:
        """One of the payments went back."""
        account.reversed_.add(number)
        account.balance += account.payments[number]
        if account.status == "settled" or account.closed_reason == "paid":
            account.move("in_contact")
            last = account.disputes[-1] if account.disputes else None
            if last and last.status == "cancelled" and last.in_writing:
                last.status = "open"
                account.move("disputed")

    def pass_time(self, account: Account, what: str) -> None:
        """A deadline comes, if the account waits for it."""
        if what not in self.waits(account):
            return
        if what == "promise due, with grace":
            account.promise = None
            account.events.append(("promise", "open", "broken"))
        elif what == "settlement offer expires":
            account.offers = ["expired" if offer == "open" else offer for offer in account.offers]
            account.events.append(("offer", "open", "expired"))
        elif what == "settlement to be paid, or it lapses":
            account.offers = ["expired" if offer == "accepted" else offer for offer in account.offers]
            account.events.append(("offer", "accepted", "expired"))
