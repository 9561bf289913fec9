"""What a user may ask of payment plans: look at what one would be, make it, change it, end it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from activities.account_change import AccountChange
from activities.plan_change import PlanChange
from activities.plan_messages import METHOD_REFUSED
from db.commands import Answer
from domain.business_days import business_days_after
from domain.errors import Invalid
from domain.plan_schedule import NOTICE_DAYS
from services.access import Principal, Right, require
from services.accounts import check_visible, visible_account
from services.commands import CommandKey, Made, carry_out
from services.plan_forms import PayEarlyForm, PlanDateForm, PlanEndForm, PlanForm
from services.plan_making import make_plan, terms_of
from services.plan_starts import PlanStarter
from services.plan_views import (
    PlanDetail,
    PlanPreview,
    PlanSummary,
    UpcomingCollection,
    detail,
    summary,
    upcoming_collection,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.keyset import Position
    from db.models import PaymentPlan
    from db.session import Database, Transaction
    from domain.scoring import Scorer

Tell = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
CREATED, ACCEPTED = 201, 202


class PaymentMethodRefused(Invalid):
    """The provider does not take the payment method: no plan came of it, its account is negotiated again."""

    type = "payment-method-refused"
    title = "Payment method refused"


class PlanService:
    """Payment plans on accounts of the principal's agency; a collector's are those assigned to them.

    ``tell`` has workflows told of accounts that were changed; ``patience``: how long a caller is kept waiting
    for a payment method to be kept. Raises ``Forbidden``, ``NotFound`` (not there, or not theirs),
    ``KeyReused``, and what the plan or the account has against it: ``Conflict`` and its kinds, ``Invalid``.
    """

    def __init__(
        self,
        database: "Database",
        scorers: "Mapping[str, Scorer]",
        starter: PlanStarter,
        tell: Tell,
        patience: timedelta,
    ) -> None:
        self._database = database
        self._scorers = scorers
        self._starter = starter
        self._tell = tell
        self._patience = patience

    async def preview(self, who: Principal, account_id: UUID, form: PlanForm) -> PlanPreview:
        """The schedule that a plan would have; nothing is made."""
        require(who, Right.TAKE_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            change = await AccountChange.begin(tx, account_id, self._scorers, only_for=who.sees_only)
            instalments = await terms_of(change, form)
        return PlanPreview(
            total=sum((one.amount for one in instalments), Decimal(0)),
            currency=change.account.currency,
            frequency=form.frequency,
            last_due=instalments[-1].due_on,
            instalments=instalments,
        )

    async def make(self, who: Principal, command: CommandKey, account_id: UUID, form: PlanForm) -> Answer:
        """Make a plan: 201 with it, 202 while its payment method is yet to be kept at the provider.

        The same key with the same body has no second effect: the answer is the plan as it is then.
        ``PaymentMethodRefused`` when the provider does not take the payment method.
        """
        require(who, Right.TAKE_PAYMENTS)

        async def visible(tx: "Transaction") -> None:
            await visible_account(tx, who, account_id)

        async def effect(tx: "Transaction") -> Made:
            change = await AccountChange.begin(tx, account_id, self._scorers, only_for=who.sees_only)
            plan = await make_plan(change, form)
            await change.settle()
            return Made(id=plan.id)

        kept = await carry_out(self._database, who.tenant, command, effect, first=visible)
        plan_id = UUID(kept.body["id"])
        await self._starter.begin(who.tenant.agency_id, plan_id, self._patience)
        await self._tell(who.tenant.agency_id, [account_id])
        async with self._database.transaction(who.tenant) as tx:
            plan = await tx.plans.get(plan_id)
            shown = await plan_detail(tx, plan)
        if plan.ended_because is not None and plan.ended_because.startswith(METHOD_REFUSED):
            raise PaymentMethodRefused(plan.ended_because, field="payment_method", plan_id=str(plan_id))
        waits = plan.status == "active" and plan.payment_method is not None and plan.customer_ref is None
        return Answer(ACCEPTED if waits else CREATED, shown.model_dump(mode="json"))

    async def pause(self, who: Principal, command: CommandKey, plan_id: UUID) -> Answer:
        """Ask for nothing until the plan is resumed."""
        return await self._change(who, command, plan_id, PlanChange.pause)

    async def resume(self, who: Principal, command: CommandKey, plan_id: UUID) -> Answer:
        """Go on; what came due meanwhile is due later, in the plan's rhythm."""
        return await self._change(who, command, plan_id, PlanChange.resume)

    async def cancel(self, who: Principal, command: CommandKey, plan_id: UUID, form: PlanEndForm) -> Answer:
        """End the plan because the debtor, or somebody, wants no more of it."""
        return await self._change(who, command, plan_id, lambda change: change.cancel(form.reason))

    async def change_date(
        self, who: Principal, command: CommandKey, plan_id: UUID, form: PlanDateForm
    ) -> Answer:
        """Move what was not asked for yet."""

        async def move(change: PlanChange) -> None:
            await change.change_date(form.next_due, agreed_on=form.agreed_on, copy_sent_on=form.copy_sent_on)

        return await self._change(who, command, plan_id, move)

    async def pay_early(
        self, who: Principal, command: CommandKey, plan_id: UUID, form: PayEarlyForm
    ) -> Answer:
        """Ask for the next instalment now (202)."""

        async def ask(change: PlanChange) -> None:
            await change.pay_early(payment_method=form.payment_method, method=form.method)

        return await self._change(who, command, plan_id, ask, status=ACCEPTED)

    async def get(self, who: Principal, plan_id: UUID) -> PlanDetail:
        """One plan with its instalments. ``NotFound`` when it is not there or not theirs."""
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            return await plan_detail(tx, await _visible_plan(tx, who, plan_id))

    async def page(
        self,
        who: Principal,
        position: "Position | None",
        limit: int,
        *,
        account_id: UUID | None = None,
        statuses: Sequence[str] = (),
    ) -> list[PlanSummary]:
        """Plans next to ``position`` (id), nearest first."""
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            return await plan_page(tx, who, position, limit, account_id=account_id, statuses=statuses)

    async def upcoming(
        self, who: Principal, position: "Position | None", limit: int
    ) -> list[UpcomingCollection]:
        """What is charged so soon that its payer can be notified now (``NOTICE_DAYS``): next to ``position``
        (collect_on, id), nearest first."""
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            today = await tx.account_changes.today()
            first, last = (business_days_after(today, days) for days in NOTICE_DAYS)
            rows = await tx.plans.upcoming(first, last, position, limit, only_for=who.sees_only)
        return [upcoming_collection(*row) for row in rows]

    async def _change(
        self,
        who: Principal,
        command: CommandKey,
        plan_id: UUID,
        effect: "Callable[[PlanChange], Awaitable[None]]",
        *,
        status: int = 200,
    ) -> Answer:
        """Change a plan under its account's lock, then have its workflow told."""
        require(who, Right.TAKE_PAYMENTS)

        async def visible(tx: "Transaction") -> None:
            await _visible_plan(tx, who, plan_id)

        async def changed(tx: "Transaction") -> PlanDetail:
            change = await PlanChange.begin(
                tx, plan_id, self._scorers, now=datetime.now(UTC), only_for=who.sees_only
            )
            await effect(change)
            await change.account.settle()
            await tx.lifecycles.notify([change.plan.account_id])
            return await plan_detail(tx, change.plan)

        answer = await carry_out(self._database, who.tenant, command, changed, first=visible, status=status)
        await self._tell(who.tenant.agency_id, [UUID(answer.body["account_id"])])
        return answer


async def plan_page(
    tx: "Transaction",
    who: Principal,
    position: "Position | None",
    limit: int,
    *,
    account_id: UUID | None,
    statuses: Sequence[str],
) -> list[PlanSummary]:
    """``PlanService.page`` in a transaction that is open."""
    plans = await tx.plans.page(
        position, limit, account_id=account_id, statuses=statuses, only_for=who.sees_only
    )
    upcoming = await tx.plans.next_instalments([plan.id for plan in plans])
    return [summary(plan, upcoming.get(plan.id)) for plan in plans]


async def _visible_plan(tx: "Transaction", who: Principal, plan_id: UUID) -> "PaymentPlan":
    """A plan that the principal may see; ``NotFound`` for any other, or none."""
    plan = await tx.plans.get(plan_id)
    await check_visible(tx, who, plan.account_id, "plan")
    return plan


async def plan_detail(tx: "Transaction", plan: "PaymentPlan") -> PlanDetail:
    """A plan with its instalments, read in a transaction that is open."""
    return detail(plan, await tx.plans.instalments(plan.id))
