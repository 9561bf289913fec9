"""One payment plan inside one transaction: paused, resumed, moved, asked for; under its account's lock."""

from datetime import UTC, date, datetime, time
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from activities.account_change import AccountChange
from activities.plan_ends import PlanEnd, check_may_be_asked, end_plan, is_left, pause_plan
from activities.plan_fit import owed
from domain.accounts import AccountStatus
from domain.business_days import DAY, business_day_from
from domain.errors import Conflict, Invalid
from domain.payments import PaymentMethod, check_amount
from domain.plan_agreements import check_agreement
from domain.plan_schedule import (
    ASKED,
    MOST_TRIES,
    Frequency,
    check_first_due,
    due_dates,
    last_day_of_grace,
    next_try_after,
    rest_of_rhythm,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from db.models import Payment, PaymentPlan, PlanInstalment
    from db.session import Transaction
    from domain.scoring import Scorer

S = AccountStatus
OPEN = frozenset({"active", "paused"})
WORKED_BY_PLAN = frozenset({S.IN_CONTACT, S.NEGOTIATING})
"""Where an account stands whose plan goes on after a dispute."""


class PlanIsOver(Conflict):
    """The plan is completed, broken or cancelled: nothing of it can be changed."""

    type = "plan-is-over"
    title = "Plan is over"


class PlanChange:
    """A plan whose account this transaction has locked, with its instalments in order.

    ``zone`` is where the agency is; what happens, happens at ``now``.
    """

    def __init__(
        self,
        account: AccountChange,
        plan: "PaymentPlan",
        instalments: "Sequence[PlanInstalment]",
        zone: str,
        now: datetime,
    ) -> None:
        self.account = account
        self.plan = plan
        self.instalments = instalments
        self.zone = zone
        self.now = now
        self.tx = account.tx

    @classmethod
    async def begin(
        cls,
        tx: "Transaction",
        plan_id: UUID,
        scorers: "Mapping[str, Scorer]",
        *,
        now: datetime,
        only_for: UUID | None = None,
    ) -> "PlanChange":
        """Lock the account of a plan. ``NotFound`` as ``AccountChange.begin``."""
        account_id = (await tx.plans.get(plan_id)).account_id
        account = await AccountChange.begin(tx, account_id, scorers, only_for=only_for)
        return await cls.of(account, await tx.plans.get(plan_id), now)

    @classmethod
    async def of(cls, account: AccountChange, plan: "PaymentPlan", now: datetime) -> "PlanChange":
        """A plan of an account that is locked."""
        zone = (await account.tx.agencies.get(plan.agency_id)).time_zone
        return cls(account, plan, await account.tx.plans.instalments(plan.id), zone, now)

    @property
    def is_open(self) -> bool:
        """Whether it is active or paused."""
        return self.plan.status in OPEN

    @property
    def by_provider(self) -> bool:
        """Whether instalments are asked for at Stripe; otherwise the debtor pays by themselves."""
        return self.plan.payment_method is not None

    @property
    def today(self) -> date:
        """The date where the agency is."""
        return self.now.astimezone(ZoneInfo(self.zone)).date()

    @property
    def under_way(self) -> "PlanInstalment | None":
        """The instalment that is being asked for."""
        return next((one for one in self.instalments if one.status == "collecting"), None)

    @property
    def left(self) -> "list[PlanInstalment]":
        """What is to be asked for yet, or can be made good yet, in order."""
        return [one for one in self.instalments if is_left(one)]

    def check_open(self) -> None:
        """``PlanIsOver`` unless it is active or paused."""
        if not self.is_open:
            raise PlanIsOver(
                f"the plan is {self.plan.status} ({self.plan.ended_because}); make a new one",
                plan_status=self.plan.status,
            )

    async def end(self, status: PlanEnd, because: str) -> None:
        """End the plan; where something is owed yet, the account is negotiated again."""
        await end_plan(self.account, self.plan, status, because)
        if self.account.account.status is S.PAYMENT_PLAN:
            words = f"The payment plan is {status}: a balance is left"
            await self.account.move(S.NEGOTIATING, words, plan_id=str(self.plan.id))

    async def pause(self) -> None:
        """Somebody asks to pause it: nothing is asked for, and nothing missed, until it is resumed."""
        self.check_open()
        if self.plan.paused_because == ASKED:
            raise Conflict("the plan is paused already", plan_status="paused")
        await pause_plan(self.account, self.plan, ASKED)

    async def resume(self) -> None:
        """Go on with a paused plan; due dates that have passed meanwhile are moved on, in their rhythm."""
        self.check_open()
        if self.plan.status != "paused":
            raise Conflict("the plan is not paused", plan_status=self.plan.status)
        await check_may_be_asked(self.account)
        await self.go_on("The payment plan goes on")

    async def go_on(self, words: str) -> None:
        """``resume`` of a plan that may go on."""
        await self.tx.plans.change(self.plan, status="active", paused_because=None)
        await self.account.record("plan.resumed", "payment_plan", self.plan.id, {})
        await self.event(words, old="paused", new="active")
        await self.move_on("After the pause")
        if self.account.account.status in WORKED_BY_PLAN:
            await self.account.move(S.PAYMENT_PLAN, words, plan_id=str(self.plan.id))
        await self.account.note_plan()

    async def change_date(
        self, next_due: date, *, agreed_on: date | None = None, copy_sent_on: date | None = None
    ) -> None:
        """Move what was not asked for as agreed yet: the next one is due then, the others after it in their
        rhythm. One that was declined keeps the day on which it is asked for again.

        Nothing is due before tomorrow by it, and nothing before the day agreed on unless the debtor agreed
        to that, too (12 CFR 1005.10(b)).
        """
        self.check_open()
        check_first_due(next_due, self.today, field="next_due")
        if next_due == self.today:
            raise Invalid(f"{self.today + DAY} at the earliest", field="next_due")
        untried = self.untried
        if not untried:
            raise Conflict("no instalment is left that was not asked for yet", plan_status=self.plan.status)
        before = untried[0].due_on
        dates = list(islice(due_dates(next_due, Frequency(self.plan.frequency)), len(untried)))
        earlier = any(day < one.due_on for one, day in zip(untried, dates, strict=True))
        facts = {"next_due": next_due, "was_due": before}
        if earlier or agreed_on is not None:
            facts |= await self._agree_anew(agreed_on, copy_sent_on)
        await self._date(untried, dates)
        await self.tx.plans.change(self.plan, counted_from=next_due)
        await self.account.record("plan.moved", "payment_plan", self.plan.id, facts)
        await self.event(
            f"The next instalment is due on {next_due} instead of {before}", next_due=next_due.isoformat()
        )
        await self.account.note_plan()

    async def _agree_anew(self, agreed_on: date | None, copy_sent_on: date | None) -> dict[str, date]:
        day = check_agreement(
            agreed_on,
            copy_sent_on,
            today=self.today,
            charged=self.by_provider,
            not_before=self.plan.agreed_on,
        )
        await self.tx.plans.change(self.plan, agreed_on=day, copy_sent_on=copy_sent_on)
        return {"agreed_on": day} | ({"copy_sent_on": copy_sent_on} if copy_sent_on else {})

    async def cancel(self, reason: str | None) -> None:
        """End it because the debtor, or somebody, wants no more of it (12 CFR 1005.10(c)).

        Nothing is asked for any more, however near the day was; only what the bank has already goes on.
        """
        self.check_open()
        await self.end("cancelled", reason or "the debtor cancelled it")

    async def pay_early(
        self, *, payment_method: str | None = None, method: PaymentMethod | None = None
    ) -> "Payment":
        """Ask for the next instalment now, by the plan's method or by another one that the debtor gives."""
        self.check_open()
        if self.under_way is not None:
            number = self.under_way.number
            raise Conflict(f"instalment {number} is being asked for already", instalment=number)
        if not self.left:
            raise Conflict("no instalment is left", plan_status=self.plan.status)
        await check_may_be_asked(self.account)
        first = self.left[0]
        if payment_method is None:
            await self._check_method(first)
        amount = await self.amount_of(first)
        reserved = await self.tx.payments.reserved(self.plan.account_id)
        check_amount(amount, await owed(self), reserved, credit_taken=False)
        return await self.ask(
            first, amount, authorised_at=self.now, payment_method=payment_method, method=method
        )

    async def _check_method(self, instalment: "PlanInstalment") -> None:
        """``Conflict`` where the plan's method may not be asked for an instalment by hand now.

        It is asked three times at most, days apart, as where the plan asks by itself.
        """
        other = "the debtor may give another payment method (pm_…)"
        if not self.by_provider:
            raise Invalid("the plan has no payment method; give one (pm_…)", field="payment_method")
        if self.plan.customer_ref is None:
            raise Conflict("the plan's payment method is not kept at the provider yet; try again soon")
        if self.plan.status == "paused":
            raise Conflict(f"the plan is paused; resume it, or {other}", plan_status="paused")
        declines = await self.tx.plans.declines(instalment.id)
        if declines >= MOST_TRIES:
            raise Conflict(f"the plan's method was declined {declines} times for it; {other}")
        if declines and instalment.asked_on is not None:
            again = next_try_after(instalment.asked_on)
            if self.today < again:
                raise Conflict(f"declined; it may be asked again on {again}, or {other}", again_on=again)

    async def amount_of(self, instalment: "PlanInstalment") -> "Decimal":
        """What is asked for an instalment: not more than is owed, where the last one was paid in part."""
        return min(instalment.amount, await owed(self))

    async def ask(
        self,
        instalment: "PlanInstalment",
        amount: "Decimal",
        *,
        authorised_at: datetime | None = None,
        payment_method: str | None = None,
        method: PaymentMethod | None = None,
    ) -> "Payment":
        """Record the payment of an instalment, which its process then asks the provider for.

        By the plan's method, which is kept for it, without the debtor being there; or by another one that the
        debtor gives now. ``authorised_at``: when they did, unless it was by agreeing to the plan.
        ``PaymentRefused`` where the account takes no payments.
        """
        await check_may_be_asked(self.account)
        number, tries = instalment.number, instalment.tries + 1
        if payment_method is not None:
            way: dict[str, Any] = {"payment_method": payment_method}
        else:
            way = {
                "payment_method": self.plan.payment_method,
                "customer_ref": self.plan.customer_ref,
                "off_session": True,
            }
        payment = await self.tx.payments.add(
            self.plan.account_id,
            origin="plan",
            key=f"plan/{self.plan.id}/{number}/{tries}",
            amount=amount,
            currency=self.plan.currency,
            method=method.value if method else self.plan.method or PaymentMethod.CARD.value,
            instalment_id=instalment.id,
            authorised_at=authorised_at or self._agreed_at,
            **way,
        )
        written: dict[str, Any] = {"status": "collecting", "tries": tries, "payment_id": payment.id}
        if payment_method is None:
            written |= {"asked_on": self.today, "next_try_on": None}
            if instalment.asked_at is None and self.today >= instalment.collect_on:
                written["asked_at"] = self.now
        await self.tx.plans.change_instalment(instalment, **written)
        await self.account.record(
            "payment.requested",
            "payment",
            payment.id,
            {"amount": payment.amount, "plan_id": self.plan.id, "instalment": number, "try": tries},
        )
        return payment

    async def move_on(self, words: str) -> date | None:
        """Give what came due while nothing was asked for new dates, in the rhythm of the plan from today on;
        the next due date where that was needed. ``words``: what is said of it then.
        """
        for one in self.left:
            if one.declines and one.next_try_on is not None and one.next_try_on < self.today:
                again = self.today if one.status == "scheduled" else last_day_of_grace(self.today)
                await self.tx.plans.change_instalment(one, next_try_on=again)
        untried = self.untried
        if not untried or untried[0].collect_on >= self.today:
            return None
        before = untried[0].due_on
        rest = rest_of_rhythm(self.plan.counted_from, Frequency(self.plan.frequency), self.today)
        await self._date(untried, rest)
        next_due = untried[0].due_on
        await self.account.record(
            "plan.moved", "payment_plan", self.plan.id, {"next_due": next_due, "was_due": before}
        )
        await self.event(
            f"{words}: the next instalment is due on {next_due} instead of {before}",
            next_due=next_due.isoformat(),
        )
        return next_due

    async def _date(self, instalments: "Sequence[PlanInstalment]", dates: "Iterable[date]") -> None:
        for one, due_on in zip(instalments, dates, strict=False):
            await self.tx.plans.change_instalment(
                one, due_on=due_on, collect_on=business_day_from(due_on), next_try_on=None
            )

    async def event(self, words: str, **details: Any) -> None:
        """Put an event of the plan on the account's timeline."""
        await self.account.event("plan", words, plan_id=str(self.plan.id), **details)

    @property
    def untried(self) -> "list[PlanInstalment]":
        """What is left and was not asked for in vain since it was due."""
        return [one for one in self.left if not one.declines]

    @property
    def _agreed_at(self) -> datetime:
        """Noon of the day of the agreement, where the agency is; never later than it was put on record."""
        zone = ZoneInfo(self.zone)
        noon = datetime.combine(self.plan.agreed_on, time(12), zone).astimezone(UTC)
        made_at = self.plan.created_at
        return min(noon, made_at if self.plan.agreed_on <= made_at.astimezone(zone).date() else self.now)
