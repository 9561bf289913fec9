"""Plans over months on a clock that skips: the real workflows, database and Stripe stand-in, nobody waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.payment_books import PaymentBooks
from activities.payments import PaymentActivities
from activities.plan_messages import PlanRef, PlanStanding
from activities.plans import PlanActivities, PlanMethods
from activities.stripe_accounts import StripeAccounts
from activities.stripe_till import StripeTill
from activities.stripe_wallet import StripeWallet
from gateways.stripe import StripeGateway
from services.plan_starts import plan_input, plan_options
from tests.integration.accounts.desk import SCORERS
from tests.integration.accounts.plan_books import Plans
from workflows.plans import PaymentPlan
from workflows.queues import plan_workflow_id

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

DAY = timedelta(days=1)


class SkippingSteps(PlanActivities):
    """The steps of plans by the clock of the server that skips time."""

    def __init__(self, years: "Years") -> None:
        super().__init__(years.plans.desk.db, SCORERS, lambda *_: None, clock=lambda: years.plans.now)
        self._years = years

    @activity.defn(name="plans.advance")
    async def advance(self, ref: PlanRef) -> PlanStanding:
        self._years.plans.now = await self._years.clock.get_current_time()
        return await super().advance(ref)


@dataclass
class Years:
    """Plans of one desk, their workflows, and the clock of both."""

    plans: Plans
    clock: WorkflowEnvironment
    gateway: StripeGateway
    serving: Any

    def at_work(self) -> "AbstractAsyncContextManager[None]":
        """A worker for plans and payments."""
        db = self.plans.desk.db
        accounts = StripeAccounts(db, self.gateway)

        def tell(_: UUID, __: Sequence[UUID]) -> None:
            """Nobody is told: what matters is that it is found out all the same."""

        work: AbstractAsyncContextManager[None] = self.serving(
            SkippingSteps(self),
            PlanMethods(db, StripeWallet(accounts)),
            PaymentActivities(db, StripeTill(accounts, return_url="http://test")),
            PaymentBooks(db, SCORERS, tell),
        )
        return work

    async def start(self, ref: PlanRef) -> WorkflowHandle[Any, Any]:
        """The plan's workflow."""
        return await self.clock.client.start_workflow(
            PaymentPlan.run,
            plan_input(ref.agency_id, ref.plan_id),
            **plan_options(ref.agency_id, ref.plan_id),
        )

    def workflow(self, ref: PlanRef) -> WorkflowHandle[Any, Any]:
        return self.clock.client.get_workflow_handle(plan_workflow_id(ref.plan_id))

    async def until(self, day: date, hour: int = 12) -> None:
        """Let time go on to this hour of a day."""
        left = datetime.combine(day, time(hour), tzinfo=UTC) - await self.clock.get_current_time()
        if left > timedelta(0):
            await self.clock.sleep(left)

    async def today(self) -> date:
        return (await self.clock.get_current_time()).date()

    async def asked(self, ref: PlanRef) -> list[tuple[int, date]]:
        """Instalments that were asked for, with the day of the last time, in order."""
        rows = await self.plans.instalments(ref)
        return [(row["number"], row["asked_on"]) for row in rows if row["asked_on"] is not None]
