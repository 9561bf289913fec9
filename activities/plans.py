"""The steps of a payment plan: what is due is done in one transaction, its method is kept at the provider."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.plan_change import PlanChange
from activities.plan_messages import KeptMethod, PlanRef, PlanStanding, RefusedMethod
from activities.plan_steps import catch_up
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from activities.stripe_wallet import StripeWallet
    from db.session import Database
    from domain.scoring import Scorer

ACTOR = "payment-plan"


def utc_now() -> datetime:
    """The time by the clock of this computer."""
    return datetime.now(UTC)


class PlanActivities:
    """The steps of ``PaymentPlan``; each answers with where the plan then stands. ``NotFound``.

    Each may be repeated, at any time: it does what is due by then and was not done before. ``tell`` has the
    account's lifecycle told after the commit, as ``PaymentBooks`` does.
    """

    def __init__(
        self,
        db: "Database",
        scorers: "Mapping[str, Scorer]",
        tell: "Callable[[UUID, Sequence[UUID]], object]",
        *,
        clock: "Callable[[], datetime]" = utc_now,
    ) -> None:
        self._db = db
        self._scorers = scorers
        self._tell = tell
        self._clock = clock

    @activity.defn(name="plans.advance")
    async def advance(self, ref: PlanRef) -> PlanStanding:
        """Do what is due on the plan now, if anything is."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            change = await PlanChange.begin(tx, ref.plan_id, self._scorers, now=self._clock())
            before = change.plan.version
            standing = await catch_up(change)
            await change.account.settle()
        if change.plan.version != before:
            self._tell(ref.agency_id, [change.plan.account_id])
        return standing

    @activity.defn(name="plans.record_method")
    async def record_method(self, kept: KeptMethod) -> PlanStanding:
        """The provider keeps the payment method: from now on it is asked for money by it."""
        ref = PlanRef(agency_id=kept.agency_id, plan_id=kept.plan_id)
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            change = await PlanChange.begin(tx, ref.plan_id, self._scorers, now=self._clock())
            if change.plan.customer_ref is None:
                await tx.plans.change(
                    change.plan,
                    customer_ref=kept.customer_ref,
                    payment_method=kept.payment_method,
                    method=kept.method,
                )
                facts = {"customer_ref": kept.customer_ref, "method": kept.method}
                await change.account.record("plan.method_kept", "payment_plan", ref.plan_id, facts)
        return await self.advance(ref)

    @activity.defn(name="plans.refuse_method")
    async def refuse_method(self, refused: RefusedMethod) -> PlanStanding:
        """The provider does not take the payment method: there can be no such plan."""
        ref = PlanRef(agency_id=refused.agency_id, plan_id=refused.plan_id)
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            change = await PlanChange.begin(tx, ref.plan_id, self._scorers, now=self._clock())
            if change.is_open:
                await change.end("cancelled", refused.reason)
                await change.account.settle()
        return await self.advance(ref)


class PlanMethods:
    """Keeps the payment methods of plans at the provider; raises as ``StripeWallet``."""

    def __init__(self, db: "Database", wallet: "StripeWallet") -> None:
        self._db = db
        self._wallet = wallet

    @activity.defn(name="plans.keep_method")
    async def keep_method(self, ref: PlanRef) -> KeptMethod | RefusedMethod:
        """Have the plan's payment method kept, so that it can be used again."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            plan = await tx.plans.get(ref.plan_id)
            of_debtor = await tx.plans.of_debtor(plan.account_id)
        async with heartbeating():
            return await self._wallet.keep(plan, of_debtor)
