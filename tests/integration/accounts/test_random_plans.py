"""Plans under whatever may happen: never more than is owed is asked for, nothing early, nothing twice, no
cent is lost."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest

from activities.account_messages import (
    AcceptOffer,
    AnswerDispute,
    OfferSettlement,
    PlaceHold,
    RecordDispute,
    ReleaseHold,
)
from activities.payment_messages import PaymentRef
from activities.plan_messages import PlanRef
from domain.business_days import is_business_day
from domain.errors import Conflict, Invalid
from domain.holds import HoldKind
from domain.payments import NEVER_ASKED, PaymentMethod
from domain.plan_schedule import GRACE_DAYS, MOST_TRIES, Frequency, due_dates, next_try_after
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, Plans
from tests.integration.accounts.test_payment_books import Till

STEPS = 40
RARELY = 0.75
OPEN = {"active", "paused"}
FAILURES = ("card_declined", "card_declined", "card_declined", "not_attempted")


@dataclass
class Life:
    """One account with its plan, and what was done to it, for whoever looks for a mistake.

    ``asked`` are the payments by the plan's own doing, with the day; ``early`` those by the plan's method
    that somebody asked for. ``rhythms`` are the first dates that were agreed on. ``settled_for`` is what was
    agreed on to settle, and what was under way then.
    """

    plans: Plans
    random: Random
    account: UUID
    ref: PlanRef
    day: date
    frequency: Frequency
    rhythms: list[date]
    by_hand: bool
    next_look: date | None = None
    settled_for: tuple[Decimal, Decimal] | None = None
    asked: dict[UUID, date] = field(default_factory=dict)
    early: dict[UUID, date] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    async def days_go_by(self) -> None:
        """Until something is due, or longer than that: everything may be down."""
        due = (self.next_look or self.day) - self.day
        self.day += max(self.random.choice((DAY, DAY, due, due, due, 7 * DAY, 30 * DAY)), DAY)
        await self.look()

    async def look(self) -> None:
        before = {row["id"] for row in await self.plans.payments(self.account)}
        was = await self.plans.plan(self.ref)
        instalments = {one["id"]: one for one in await self.plans.instalments(self.ref)}
        self.plans.now = datetime(self.day.year, self.day.month, self.day.day, 9, tzinfo=UTC)
        standing = await self.plans.steps.advance(self.ref)
        self.next_look = standing.look_at.date() if standing.look_at else None
        for row in await self.plans.payments(self.account):
            if row["id"] not in before:
                now = {one["id"]: one for one in await self.plans.instalments(self.ref)}[row["instalment_id"]]
                assert is_business_day(self.day)
                assert row["off_session"]
                assert self.day >= now["due_on"] >= instalments[now["id"]]["due_on"], "not before the day"
                assert not self.by_hand
                self.asked[row["id"]] = self.day
        if was["status"] in OPEN and (await self.plans.plan(self.ref))["status"] == "broken":
            self.check_broken(list(instalments.values()))

    def check_broken(self, before: list[dict[str, Any]]) -> None:
        """By grace that is over, with a business day after it; or because nothing is left of it."""
        left = [one for one in before if one["status"] == "scheduled" or one["next_try_on"] is not None]
        if left:
            assert self.day > left[0]["judged_on"] > left[0]["due_on"] + GRACE_DAYS * DAY
            assert self.by_hand or left[0]["declines"] == MOST_TRIES

    async def payment_ends(self) -> None:
        under_way = [row for row in await self.plans.payments(self.account) if row["status"] == "pending"]
        for row in under_way:
            ref = PaymentRef(agency_id=self.ref.agency_id, payment_id=row["id"])
            if self.random.random() < 0.55:
                await self.plans.till.intent(ref, "succeeded", str(row["amount"]))
            else:
                code = self.random.choice(FAILURES)
                await self.plans.till.intent(ref, "requires_payment_method", failure_code=code)

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

    async def pay_early(self) -> None:
        other = {"payment_method": "pm_other", "method": PaymentMethod.CARD}
        given = other if self.by_hand or self.random.random() < 0.4 else {}
        self.plans.now = datetime(self.day.year, self.day.month, self.day.day, 10, tzinfo=UTC)
        try:
            await self.plans.change(self.ref, "pay_early", **given)
        except Conflict:
            return
        row = (await self.plans.payments(self.account))[-1]
        if not given:
            self.early[row["id"]] = self.day
        if self.random.random() < 0.7:
            await self.plans.ends(self.account, "card_declined")

    async def command(self) -> None:
        what: str = self.random.choice(("pause", "resume", "resume", "change_date"))
        given: list[date] = []
        named = {}
        if what == "change_date":
            given = [self.day + self.random.choice((1, 5, 20, 60)) * DAY]
            if self.random.random() < 0.5:
                named = {"agreed_on": self.day, "copy_sent_on": self.day}
        before = await self.plans.payments(self.account)
        try:
            await self.plans.change(self.ref, what, *given, **named)
        except (Conflict, Invalid):
            return
        self.rhythms += given
        assert await self.plans.payments(self.account) == before

    async def cancel(self) -> None:
        if self.random.random() < RARELY:
            return
        try:
            await self.plans.change(self.ref, "cancel", None)
        except Conflict:
            return
        assert (await self.plans.look(self.ref, self.day)).status == "cancelled"

    async def hold(self) -> None:
        for order, more in ((PlaceHold, {"reason": "told us"}), (ReleaseHold, {})):
            try:
                await self.plans.desk.tell(order, self.account, kind=HoldKind.DECEASED, **more)
            except Conflict:
                return
            await self.look()

    async def dispute(self) -> None:
        """Nothing is asked for until it is answered."""
        received = {"reason": f"no {len(self.done)}", "received_on": datetime.now(UTC).date()}
        try:
            made = await self.plans.desk.ask(RecordDispute, self.account, in_writing=False, **received)
        except Conflict:
            return
        before = await self.plans.payments(self.account)
        self.day += DAY
        await self.look()
        assert len(await self.plans.payments(self.account)) == len(before)
        await self.plans.desk.tell(
            AnswerDispute,
            self.account,
            dispute_id=made["id"],
            outcome="verified",
            verification_sent_on=received["received_on"],
        )
        await self.look()

    async def settlement(self) -> None:
        """The debtor accepts one while the plan goes on."""
        _, balance = await self.plans.stands(self.account)
        amount = (balance / 2).quantize(Decimal("0.01"))
        if self.settled_for is not None or amount < 1 or self.random.random() < RARELY:
            return
        soon = datetime.now(UTC).date() + timedelta(days=7)
        try:
            offer = await self.plans.desk.ask(OfferSettlement, self.account, amount=amount, expires_on=soon)
            await self.plans.desk.tell(AcceptOffer, self.account, offer_id=UUID(offer["id"]))
        except Conflict:
            return
        under_way = [row for row in await self.plans.payments(self.account) if row["status"] == "pending"]
        before = sum((row["amount"] for row in under_way), Decimal(0))
        self.settled_for = (amount, before)

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
        if plan["status"] in OPEN:
            assert left, "a plan of which nothing is left has ended"
            assert status in {"payment_plan", "in_contact", "negotiating", "disputed"}
        else:
            assert {one["status"] for one in left} <= {"collecting"}
            assert status != "payment_plan"
        if not self.by_hand and plan["status"] in OPEN:
            partly = sum(one["amount"] for one in left if one["declines"])
            assert sum(one["amount"] for one in left) <= balance + partly
        assert sum(one["status"] == "collecting" for one in instalments) <= 1
        self.check_dates(left)
        rows = await self.plans.payments(self.account)
        assert len({row["idempotency_key"] for row in rows}) == len(rows)
        pending = sum(row["amount"] for row in rows if row["status"] == "pending")
        # What is forgiven when a settlement is reached may be under way.
        assert pending <= balance or status == "settled"
        self.check_tries(instalments, rows)

    def check_dates(self, left: list[dict[str, Any]]) -> None:
        """Every date is one of a rhythm that was agreed on."""
        agreed = {day for first in self.rhythms for day in islice(due_dates(first, self.frequency), 200)}
        assert {one["due_on"] for one in left} <= agreed

    def check_tries(self, instalments: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
        """By the plan's own method one a day, at most so many in vain, and days apart."""
        assert max(Counter(self.asked.values()).values(), default=0) <= 1, "one a day"
        for one in instalments:
            in_vain = [
                row
                for row in rows
                if row["instalment_id"] == one["id"]
                and row["status"] == "failed"
                and row["off_session"]
                and row["failure_code"] not in NEVER_ASKED
            ]
            days = [self.asked[row["id"]] for row in in_vain if row["id"] in self.asked]
            by_hand = [self.early[row["id"]] for row in in_vain if row["id"] in self.early]
            assert one["declines"] <= MOST_TRIES
            assert len(days) <= MOST_TRIES
            assert len(by_hand) <= MOST_TRIES
            for tried in (days, by_hand):
                assert all(b >= next_try_after(a) for a, b in pairwise(tried))

    async def check_settlement(self) -> None:
        """The plan has not taken more than was agreed on to settle, beside what others paid."""
        if self.settled_for is not None:
            amount, under_way = self.settled_for
            [row] = await self.plans.desk.query(
                "SELECT COALESCE(sum(p.amount), 0) taken FROM payment p JOIN settlement_offer o"
                " ON o.account_id = p.account_id AND o.resolved_at <= p.created_at"
                " WHERE p.account_id = %s AND p.origin = 'plan' AND p.journal_id IS NOT NULL"
                " AND p.refunded_amount = 0 AND o.status IN ('accepted', 'kept')",
                self.account,
            )
            assert row["taken"] <= amount + under_way


async def life(plans: Plans, random: Random) -> Life:
    account = await plans.desk.place(amount=str(random.randint(1_000, 90_000) / 100), status="negotiating")
    frequency, by_hand = random.choice((*Frequency, Frequency.MONTHLY)), random.random() < 0.2
    first = plans.today + random.choice((3, 8, 40)) * DAY
    if frequency is Frequency.MONTHLY:
        first = next(day for n in range(62) if (day := plans.today + n * DAY).day == 31)
    ref = await plans.make(
        account, instalments=random.randint(2, 9), frequency=frequency, first_due=first, by_hand=by_hand
    )
    return Life(plans, random, account, ref, plans.today, frequency, [first], by_hand)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_books_agree(desk: Desk, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a test that can be repeated, not a secret
    plans = Plans(desk, Till(desk))
    await plans.open()
    one = await life(plans, random)
    doing: list[Any] = [one.days_go_by] * 10 + [one.payment_ends] * 8 + [one.pay_early, one.command] * 3
    doing += [one.other_money, one.refund, one.hold, one.dispute, one.settlement, one.cancel]
    for _ in range(STEPS):
        step = random.choice(doing)
        one.done.append(step.__name__)
        try:
            await step()
            await one.check()
            await one.check_settlement()
        except Exception as error:
            error.add_note(f"seed {seed}: {' '.join(one.done)}")
            raise
    async with desk.db.transaction(desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
