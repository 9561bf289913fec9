"""Whatever is said of payments, in whatever order: journals, balances and Stripe agree to the cent."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.payment_messages import PaymentRef
from db.session import Database
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.test_payment_books import Till

OWED = Decimal(100)
NOTHING = Decimal(0)
CENT = Decimal("0.01")
REFUNDS = ("re_a", "re_b")


@dataclass
class Stripe:
    """What is true at the provider of one payment; each fact goes its own way and is never taken back."""

    amount: Decimal
    taken: bool = False
    refunds: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    dispute: str | None = None
    disputed: Decimal = NOTHING

    def refunded(self, *statuses: str) -> Decimal:
        return sum((amount for amount, status in self.refunds.values() if status in statuses), NOTHING)

    @property
    def withdrawn(self) -> bool:
        """Whether the bank has taken money back."""
        return self.dispute in {"needs_response", "lost"}

    @property
    def left(self) -> Decimal:
        """What it has of the money; below zero where money was refunded that the bank took, too."""
        if not self.taken:
            return NOTHING
        return self.amount - self.refunded("succeeded") - (self.disputed if self.withdrawn else NOTHING)

    @property
    def refundable(self) -> Decimal:
        if not self.taken or self.dispute is not None:
            return NOTHING
        return self.amount - self.refunded("pending", "succeeded")

    def happen(self, what: str) -> None:
        """Something happens, where it can."""
        kind, _, name = what.partition(" ")
        if kind == "take":
            self.taken = True
        elif kind in {"refund", "ask"} and name not in self.refunds:
            part = (self.refundable * 2 / 3).quantize(CENT)
            if part:
                self.refunds[name] = (part, "succeeded" if kind == "refund" else "pending")
        elif kind == "finish" and self.refunds.get(name, (NOTHING, ""))[1] == "pending":
            self.refunds[name] = (self.refunds[name][0], "succeeded")
        elif kind == "bounce" and name in self.refunds:
            self.refunds[name] = (self.refunds[name][0], "failed")
        elif kind in {"dispute", "part"} and self.taken and self.dispute is None:
            self.disputed = self.amount if kind == "dispute" else self.refundable
            self.dispute = "needs_response" if self.disputed else None
        elif kind == "lose" and self.dispute == "needs_response":
            self.dispute = "lost"
        elif kind == "win" and self.withdrawn:
            self.dispute = "won"


HAPPENINGS = (
    "take",
    *(f"{kind} {name}" for kind in ("refund", "ask", "finish", "bounce") for name in REFUNDS),
    "dispute",
    "part",
    "win",
    "lose",
)
amounts = st.integers(1, 15_000).map(lambda cents: Decimal(cents) / 100)
happenings = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 2)), min_size=3, max_size=14)


async def tell(till: Till, ref: PaymentRef, true: Stripe) -> None:
    """What somebody finds who looks at Stripe now; the intent first, as whoever looks does."""
    if not true.taken:
        await till.intent(ref, "processing")
        return
    await till.intent(ref, "succeeded", format(true.amount, "f"))
    for name, (amount, status) in true.refunds.items():
        await till.refund(ref, format(amount, "f"), status, name)
    if true.dispute:
        await till.dispute(ref, format(true.disputed, "f"), true.dispute)


async def live(till: Till, amount: Decimal, life: list[tuple[str, int]]) -> None:
    """One payment on one account: things happen, and are told late, twice or not at all until the end."""
    account = await till.desk.place(amount=format(OWED, "f"), status="negotiating")
    ref, true = await till.ask(account, format(amount, "f")), Stripe(amount)
    for what, times in life:
        true.happen(what)
        await asyncio.gather(*(tell(till, ref, true) for _ in range(times)))
    await tell(till, ref, true)
    await agrees(till, account, ref, true)


async def agrees(till: Till, account: Any, ref: PaymentRef, true: Stripe) -> None:
    row, house = await till.desk.account(account), await till.house(account)
    assert -house.get("cash", NOTHING) == true.left
    assert house.get("processor_losses", NOTHING) == min(NOTHING, true.left)
    assert row["balance"] == OWED - min(OWED, max(NOTHING, true.left))
    assert house.get("credit_balances", NOTHING) == max(NOTHING, true.left - OWED)
    assert row["held"] is true.withdrawn
    assert row["status"] in ({"closed"} if row["balance"] == 0 else {"negotiating", "in_contact"})
    payment = await till.payment(ref)
    refunded = true.refunded("succeeded")
    assert payment["refunded_amount"] == refunded
    assert payment["status"] == expected(true, refunded)


def expected(true: Stripe, refunded: Decimal) -> str:
    if not true.taken:
        return "processing"
    if true.withdrawn:
        return "disputed"
    if refunded == true.amount:
        return "refunded"
    return "partially_refunded" if refunded else "succeeded"


async def test_books_agree_with_stripe_whatever_is_told_and_when(db: Database, module_database: Any) -> None:
    desk = Desk(db, module_database.superuser_url)
    await desk.open()
    till, loop = Till(desk), asyncio.get_running_loop()

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(amounts, happenings)
    def lives(amount: Decimal, life: list[tuple[str, int]]) -> None:
        asyncio.run_coroutine_threadsafe(live(till, amount, life), loop).result()

    await asyncio.to_thread(lives)
    async with db.transaction(desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
        assert [breach async for breach in tx.payment_audit.breaches()] == []
