"""One payment plan inside one transaction: paused, resumed, moved, asked for; under its account's lock."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from activities.account_change import AccountChange
from activities.plan_ends import ASKED, PlanEnd, check_may_be_asked, end_plan, is_left, pause_plan
from domain.accounts import AccountStatus
from domain.business_days import business_day_from
from domain.deadlines import start_of_day
from domain.errors import Conflict, Invalid
from domain.payments import PaymentMethod, check_amount
from domain.plan_schedule import (
    Frequency,
    check_first_due,
    due_dates,
    last_day_of_grace,
    next_in_rhythm,
    reduced,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from db.models import Payment, PaymentPlan, PlanInstalment, SettlementOffer
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
        moved_to = await self._move_on_what_has_passed()
        await self.account.record("plan.resumed", "payment_plan", self.plan.id, {"next_due": moved_to})
        more = {"next_due": moved_to.isoformat()} if moved_to else {}
        await self.account.event("plan", words, old="paused", new="active", plan_id=str(self.plan.id), **more)
        if self.account.account.status in WORKED_BY_PLAN:
            await self.account.move(S.PAYMENT_PLAN, words, plan_id=str(self.plan.id))
        await self.account.note_plan()

    async def change_date(self, next_due: date) -> None:
        """Move what was not asked for yet: the next one is due then, the others after it in their rhythm.

        One that was declined keeps the day on which it is asked for again.
        """
        self.check_open()
        check_first_due(next_due, self.today, field="next_due")
        untried = self._untried
        if not untried:
            raise Conflict("no instalment is left that was not asked for yet", plan_status=self.plan.status)
        before = untried[0].due_on
        await self._date_from(next_due, untried)
        await self.account.record(
            "plan.moved", "payment_plan", self.plan.id, {"next_due": next_due, "was_due": before}
        )
        await self.account.event(
            "plan",
            f"The next instalment is due on {next_due} instead of {before}",
            plan_id=str(self.plan.id),
            next_due=next_due.isoformat(),
        )
        await self.account.note_plan()

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
        if payment_method is None and not self.by_provider:
            raise Invalid("the plan has no payment method; give one (pm_…)", field="payment_method")
        if payment_method is None and self.plan.customer_ref is None:
            raise Conflict("the plan's payment method is not kept at the provider yet; try again soon")
        if not self.left:
            raise Conflict("no instalment is left", plan_status=self.plan.status)
        left = self.account.account.balance - await self.tx.payments.reserved(self.plan.account_id)
        check_amount(self.left[0].amount, left, credit_taken=False)
        return await self.ask(self.left[0], payment_method=payment_method, method=method)

    async def ask(
        self,
        instalment: "PlanInstalment",
        *,
        payment_method: str | None = None,
        method: PaymentMethod | None = None,
    ) -> "Payment":
        """Record the payment of an instalment, which its process then asks the provider for.

        By the plan's method, which is kept for it, without the debtor being there; or by another one that the
        debtor gives now. ``PaymentRefused`` where the account takes no payments.
        """
        await check_may_be_asked(self.account)
        number, tries = instalment.number, instalment.tries + 1
        if payment_method is not None:
            way = {"payment_method": payment_method, "authorised_at": self.now}
        else:
            way = {
                "payment_method": self.plan.payment_method,
                "customer_ref": self.plan.customer_ref,
                "off_session": True,
                "authorised_at": self._agreed_at,
            }
        payment = await self.tx.payments.add(
            self.plan.account_id,
            origin="plan",
            key=f"plan/{self.plan.id}/{number}/{tries}",
            amount=instalment.amount,
            currency=self.plan.currency,
            method=method.value if method else self.plan.method or PaymentMethod.CARD.value,
            instalment_id=instalment.id,
            **way,
        )
        await self.tx.plans.change_instalment(
            instalment,
            status="collecting",
            tries=tries,
            asked_on=self.today,
            next_try_on=None,
            payment_id=payment.id,
        )
        await self.account.record(
            "payment.requested",
            "payment",
            payment.id,
            {"amount": payment.amount, "plan_id": self.plan.id, "instalment": number, "try": tries},
        )
        return payment

    async def fit(self) -> None:
        """Bring what is left in line with what is owed and what came in; end a plan of which nothing is left.

        What a debtor pays by themselves counts for the instalment that is late, or, where nothing is asked
        for at the provider, for one after the other; what is owed no more is taken off the last ones.
        """
        if not self.is_open:
            return
        offer = await self._offer()
        if self.plan.offer_id is not None and offer is None:
            await self.end("cancelled", "its settlement stands no more")
            return
        if self.by_provider:
            await self._make_good_what_is_late()
        else:
            await self._count_what_came()
        await self._take_off(await self._owed(offer))
        if not self.left and self.under_way is None:
            await self._complete()

    async def _complete(self) -> None:
        if any(one.status == "missed" for one in self.instalments):
            await self.end("broken", "what was paid on it went back")
        else:
            await self.end("completed", "all instalments are paid")

    async def _make_good_what_is_late(self) -> None:
        """One that was declined is paid by other money, when so much has come since it was asked for."""
        late, received = await self._received_for_what_is_late()
        if late is not None and received >= late.amount:
            await self.tx.plans.mark_paid(late)

    async def _received_for_what_is_late(self) -> "tuple[PlanInstalment | None, Decimal]":
        """The instalment that was declined, and what came in otherwise since it was asked for."""
        late = next((one for one in self.left if one.tries), None)
        if late is None or late.asked_on is None:
            return None, Decimal(0)
        since = start_of_day(late.asked_on, self.zone)
        return late, max(await self.tx.plans.received_otherwise(self.plan, since), Decimal(0))

    async def _count_what_came(self) -> None:
        received = await self.tx.payments.received_since(self.plan.account_id, self.plan.created_at)
        needed = sum(self._amounts(one for one in self.instalments if one.status == "paid"), Decimal(0))
        for one in self.left:
            needed += one.amount
            if received < needed:
                return
            await self.tx.plans.mark_paid(one)

    async def _owed(self, offer: "SettlementOffer | None") -> Decimal:
        """What may be asked for yet beside what is under way; and what has come in for an instalment in part,
        of one that is late or of a debtor who pays by themselves, which counts for that one."""
        owed = self.account.account.balance
        if offer is not None:
            since = offer.resolved_at or offer.made_at
            received = await self.tx.payments.received_since(self.plan.account_id, since)
            owed = min(owed, offer.amount - received)
        if self.under_way is not None:
            owed -= self.under_way.amount
        if self.by_provider:
            _, received = await self._received_for_what_is_late()
            owed += received
        else:
            received = await self.tx.payments.received_since(self.plan.account_id, self.plan.created_at)
            paid = sum(self._amounts(one for one in self.instalments if one.status == "paid"), Decimal(0))
            owed += max(received - paid, Decimal(0))
        return owed

    async def _take_off(self, owed: Decimal) -> None:
        late = [one for one in self.left if one.tries]
        owed -= await self._shrink(late, [min(one.amount, max(owed, Decimal(0))) for one in late])
        untried = self._untried
        await self._shrink(untried, reduced(list(self._amounts(untried)), owed))

    async def _shrink(self, instalments: "list[PlanInstalment]", amounts: list[Decimal]) -> Decimal:
        for one, amount in zip(instalments, amounts, strict=True):
            if amount == 0:
                await self.tx.plans.change_instalment(one, status="cancelled", next_try_on=None)
            elif amount != one.amount:
                await self.tx.plans.change_instalment(one, amount=amount)
        return sum(amounts, Decimal(0))

    async def _offer(self) -> "SettlementOffer | None":
        """The settlement that the plan pays, as long as it stands."""
        offer = await self.tx.offers.accepted_on(self.plan.account_id)
        return offer if offer is not None and offer.id == self.plan.offer_id else None

    async def _move_on_what_has_passed(self) -> date | None:
        """Give what came due during a pause new dates; the next due date where that was needed."""
        for one in self.left:
            if one.tries and one.next_try_on is not None and one.next_try_on < self.today:
                again = self.today if one.status == "scheduled" else last_day_of_grace(self.today)
                await self.tx.plans.change_instalment(one, next_try_on=again)
        untried = self._untried
        if not untried or untried[0].due_on >= self.today:
            return None
        next_due = next_in_rhythm(self.plan.counted_from, Frequency(self.plan.frequency), self.today)
        await self._date_from(next_due, untried)
        return next_due

    async def _date_from(self, next_due: date, instalments: "Sequence[PlanInstalment]") -> None:
        dates = due_dates(next_due, Frequency(self.plan.frequency))
        for one, due_on in zip(instalments, dates, strict=False):
            await self.tx.plans.change_instalment(
                one, due_on=due_on, collect_on=business_day_from(due_on), next_try_on=None
            )
        await self.tx.plans.change(self.plan, counted_from=next_due)

    @property
    def _untried(self) -> "list[PlanInstalment]":
        return [one for one in self.left if not one.tries]

    @property
    def _agreed_at(self) -> datetime:
        """Noon of the day of the agreement, where the agency is; never later than it was put on record."""
        noon = datetime.combine(self.plan.agreed_on, time(12), ZoneInfo(self.zone)).astimezone(UTC)
        return min(noon, self.plan.created_at)

    @staticmethod
    def _amounts(instalments: "Iterable[PlanInstalment]") -> "list[Decimal]":
        return [one.amount for one in instalments]
