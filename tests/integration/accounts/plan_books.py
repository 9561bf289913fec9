"""Payment plans at a desk: made, looked at when their time has come, paid, declined; without a workflow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from activities.account_change import AccountChange
from activities.payment_messages import PaymentRef
from activities.plan_change import PlanChange
from activities.plan_messages import KeptMethod, PlanRef, PlanStanding
from activities.plans import PlanActivities
from domain.business_days import business_day_from
from domain.payments import PaymentStatus
from domain.plan_schedule import Frequency
from services.plan_forms import PlanForm
from services.plan_making import make_plan
from tests.integration.accounts.desk import SCORERS, Desk
from tests.integration.accounts.test_payment_books import Till

DAY = timedelta(days=1)
METHOD = "pm_kept"


def first_business_day() -> date:
    """Today, or the next day on which banks work: where this desk is, it is UTC."""
    return business_day_from(datetime.now(UTC).date())


@dataclass
class Plans:
    """Plans of one desk, and the time there."""

    desk: Desk
    till: Till
    now: datetime = field(default_factory=lambda: datetime.combine(first_business_day(), time(7), tzinfo=UTC))
    told: list[UUID] = field(default_factory=list)

    @property
    def steps(self) -> PlanActivities:
        def tell(_: UUID, accounts: Sequence[UUID]) -> None:
            self.told.extend(accounts)

        return PlanActivities(self.desk.db, SCORERS, tell, clock=lambda: self.now)

    @property
    def today(self) -> date:
        return self.now.date()

    async def open(self) -> None:
        """Put the agency's way into Stripe on record."""
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            await tx.stripe_credentials.put(
                secret_key="sk_test_desk",
                account_ref=f"acct_{self.desk.agency_id.hex}",
                webhook_secret=None,
                webhook=None,
            )

    async def make(
        self,
        account: UUID,
        *,
        first_due: date | None = None,
        by_hand: bool = False,
        given: str | None = None,
        **terms: Any,
    ) -> PlanRef:
        """A plan of three monthly instalments from today on; paid by card, unless the debtor does by hand.

        The card is kept at the provider already, unless it is ``given``.
        """
        today = datetime.now(UTC).date()
        sent = {} if by_hand else {"payment_method": given or "pm_given", "copy_sent_on": today}
        form = PlanForm(
            first_due=first_due or self.today,
            agreed_on=today,
            **{"frequency": Frequency.MONTHLY, "instalments": 3} | sent | terms,
        )
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            change = await AccountChange.begin(tx, account, SCORERS)
            plan = await make_plan(change, form)
            await change.settle()
        ref = PlanRef(agency_id=self.desk.agency_id, plan_id=plan.id)
        if not by_hand and given is None:
            kept = KeptMethod(**ref.model_dump(), customer_ref="cus_1", payment_method=METHOD, method="card")
            await self.steps.record_method(kept)
        return ref

    async def look(self, ref: PlanRef, day: date | None = None, hour: int = 9) -> PlanStanding:
        """Let it be this hour of a day, today unless it is said, and have done what is due."""
        self.now = datetime.combine(day or self.today, time(hour), tzinfo=UTC)
        return await self.steps.advance(ref)

    async def change(self, ref: PlanRef, what: str, *given: Any, **named: Any) -> None:
        """A command of somebody."""
        async with self.desk.db.transaction(self.desk.tenant) as tx:
            change = await PlanChange.begin(tx, ref.plan_id, SCORERS, now=self.now)
            await getattr(change, what)(*given, **named)
            await change.account.settle()

    async def paid(self, ref: PlanRef, day: date | None = None) -> PaymentRef:
        """The instalment that is due is asked for, and the money is here."""
        payment = await self.asked(ref, day)
        [row] = await self.desk.query("SELECT amount FROM payment WHERE id = %s", payment.payment_id)
        status = await self.till.intent(payment, "succeeded", str(row["amount"]))
        assert status is PaymentStatus.SUCCEEDED
        return payment

    async def declined(self, ref: PlanRef, day: date | None = None, code: str = "card_declined") -> None:
        """The instalment that is due is asked for in vain."""
        payment = await self.asked(ref, day)
        await self.till.intent(payment, "requires_payment_method", failure_code=code)

    async def broken(self, ref: PlanRef, over: date) -> None:
        """Grace is over with the day before: people have a business day, and then the plan is broken."""
        judged_on = business_day_from(over)
        ends = datetime.combine(judged_on + DAY, time(), tzinfo=UTC)
        standing = await self.look(ref, over, hour=0)
        assert (standing.status, standing.look_at) == ("active", ends)
        assert (await self.look(ref, judged_on, hour=23)).status == "active"
        assert (await self.look(ref, judged_on + DAY, hour=0)).status == "broken"

    async def asked(self, ref: PlanRef, day: date | None = None) -> PaymentRef:
        """The instalment that is due is asked for."""
        standing = await self.look(ref, day)
        assert standing.payment is not None, standing
        return PaymentRef(agency_id=self.desk.agency_id, payment_id=standing.payment.payment_id)

    async def ends(self, account: UUID, code: str | None = None) -> None:
        """The payment that was asked for last on an account is taken, or with a ``code`` it is not."""
        row = (await self.payments(account))[-1]
        payment = PaymentRef(agency_id=self.desk.agency_id, payment_id=row["id"])
        if code is None:
            await self.till.intent(payment, "succeeded", str(row["amount"]))
        else:
            await self.till.intent(payment, "requires_payment_method", failure_code=code)

    async def plan(self, ref: PlanRef) -> dict[str, Any]:
        [row] = await self.desk.query("SELECT * FROM payment_plan WHERE id = %s", ref.plan_id)
        return row

    async def instalments(self, ref: PlanRef) -> list[dict[str, Any]]:
        return await self.desk.query(
            "SELECT * FROM plan_instalment WHERE plan_id = %s ORDER BY number", ref.plan_id
        )

    async def statuses(self, ref: PlanRef) -> str:
        """Of the plan, and of its instalments in order."""
        plan = await self.plan(ref)
        return " ".join([plan["status"] + ":", *[one["status"] for one in await self.instalments(ref)]])

    async def amounts(self, ref: PlanRef) -> list[Decimal]:
        """Of the instalments that are not cancelled."""
        return [one["amount"] for one in await self.instalments(ref) if one["status"] != "cancelled"]

    async def payments(self, account: UUID) -> list[dict[str, Any]]:
        return await self.desk.query("SELECT * FROM payment WHERE account_id = %s ORDER BY id", account)

    async def stands(self, account: UUID) -> tuple[str, Decimal]:
        """Status and balance of an account."""
        row = await self.desk.account(account)
        return row["status"], row["balance"]

    async def words(self, account: UUID) -> list[str]:
        """What the timeline says of plans."""
        return [one["description"] for one in await self.desk.timeline(account) if one["kind"] == "plan"]
