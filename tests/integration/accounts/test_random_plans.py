"""Plans under whatever may happen: never more than is owed is asked for, nothing twice, no cent is lost."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest

from activities.account_messages import PlaceHold, ReleaseHold
from activities.payment_messages import PaymentRef
from activities.plan_messages import PlanRef
from domain.business_days import is_business_day
from domain.errors import Conflict
from domain.holds import HoldKind
from domain.plan_schedule import MOST_TRIES, Frequency
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, Plans
from tests.integration.accounts.test_payment_books import Till

STEPS = 30


@dataclass
class Life:
    """One account with its plans, and what was done to it, for whoever looks for a mistake."""

    plans: Plans
    random: Random
    account: UUID
    ref: PlanRef
    day: date
    asked: list[tuple[date, UUID]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def days_go_by(self) -> None:
        self.day += self.random.choice((1, 1, 2, 7, 30)) * DAY
        await self.look()

    async def look(self) -> None:
        before = {row["id"] for row in await self.plans.payments(self.account)}
        self.plans.now = datetime(self.day.year, self.day.month, self.day.day, 9, tzinfo=UTC)
        await self.plans.steps.advance(self.ref)
        for row in await self.plans.payments(self.account):
            if row["id"] not in before:
                assert is_business_day(self.day)
                self.asked.append((self.day, row["id"]))

    async def payment_ends(self) -> None:
        under_way = [row for row in await self.plans.payments(self.account) if row["status"] == "pending"]
        for row in under_way:
            ref = PaymentRef(agency_id=self.ref.agency_id, payment_id=row["id"])
            if self.random.random() < 0.65:
                await self.plans.till.intent(ref, "succeeded", str(row["amount"]))
            else:
                await self.plans.till.intent(ref, "requires_payment_method", failure_code="card_declined")

    async def other_money(self) -> None:
        """As much as the service takes: what is under way already is not paid a second time."""
        async with self.plans.desk.db.transaction(self.plans.desk.tenant) as tx:
            reserved = await tx.payments.reserved(self.account)
        _, balance = await self.plans.stands(self.account)
        part = ((balance - reserved) * self.random.randint(1, 40) / 100).quantize(Decimal("0.01"))
        if part > 0:
            await self.plans.till.paid(self.account, str(part))

    async def refund(self) -> None:
        taken = [row for row in await self.plans.payments(self.account) if row["status"] == "succeeded"]
        if taken:
            row = self.random.choice(taken)
            ref = PaymentRef(agency_id=self.ref.agency_id, payment_id=row["id"])
            amount = row["amount"] if self.random.random() < 0.5 else Decimal("0.01")
            await self.plans.till.refund(ref, str(amount), "succeeded", f"re_{len(self.done)}")

    async def command(self) -> None:
        what, *given = self.random.choice(
            (("pause",), ("resume",), ("resume",), ("pay_early",), ("change_date", self.day + 20 * DAY))
        )
        before = {row["id"] for row in await self.plans.payments(self.account)}
        try:
            await self.plans.change(self.ref, what, *given)
        except Conflict:
            return
        after = {row["id"] for row in await self.plans.payments(self.account)}
        assert (after != before) is (what == "pay_early")

    async def hold(self) -> None:
        for order, more in ((PlaceHold, {"reason": "told us"}), (ReleaseHold, {})):
            try:
                await self.plans.desk.tell(order, self.account, kind=HoldKind.DECEASED, **more)
            except Conflict:
                return
            await self.look()

    async def check(self) -> None:
        """What must be true after anything."""
        status, balance = await self.plans.stands(self.account)
        plan = await self.plans.plan(self.ref)
        instalments = await self.plans.instalments(self.ref)
        left = [
            one
            for one in instalments
            if one["status"] in {"scheduled", "collecting"}
            or (one["status"] == "missed" and one["next_try_on"] is not None)
        ]
        if plan["status"] in {"active", "paused"}:
            assert left, "a plan of which nothing is left has ended"
            assert status in {"payment_plan", "in_contact", "negotiating"}
        else:
            assert {one["status"] for one in left} <= {"collecting"}
            assert status != "payment_plan"
        partly = sum(one["amount"] for one in left if one["tries"])
        assert sum(one["amount"] for one in left) <= balance + partly
        assert sum(one["status"] == "collecting" for one in instalments) <= 1
        rows = await self.plans.payments(self.account)
        assert len({row["idempotency_key"] for row in rows}) == len(rows)
        pending = [row["amount"] for row in rows if row["status"] == "pending"]
        assert sum(pending) <= balance
        assert max(Counter(day for day, _ in self.asked).values(), default=0) <= 1, "one a day"
        declined = Counter(row["instalment_id"] for row in rows if row["status"] == "failed")
        asked_for = {row["instalment_id"] for row in rows if row["id"] in {one for _, one in self.asked}}
        early = {row["instalment_id"] for row in rows} - asked_for
        assert all(count <= MOST_TRIES for one, count in declined.items() if one not in early)


async def life(plans: Plans, random: Random) -> Life:
    account = await plans.desk.place(amount=str(random.randint(1_000, 90_000) / 100), status="negotiating")
    ref = await plans.make(
        account,
        instalments=random.randint(1, 9),
        frequency=random.choice(list(Frequency)),
        first_due=plans.today + 3 * DAY,
    )
    return Life(plans, random, account, ref, plans.today)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_books_agree(desk: Desk, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a test that can be repeated, not a secret
    plans = Plans(desk, Till(desk))
    await plans.open()
    one = await life(plans, random)
    doing: list[Any] = [one.days_go_by] * 5 + [one.payment_ends] * 4
    doing += [one.other_money, one.refund, one.command, one.command, one.hold]
    for _ in range(STEPS):
        step = random.choice(doing)
        one.done.append(step.__name__)
        try:
            await step()
            await one.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}: {' '.join(one.done)}")
            raise
    async with desk.db.transaction(desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
