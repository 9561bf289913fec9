"""Payment plans of one agency, and their instalments."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, tuple_

from db.account_changes import LockedAccount
from db.keyset import Position, newest_first
from db.models import Account, Payment, PaymentPlan, PlanInstalment
from db.on_accounts import on_accounts
from db.received import received
from db.store import Store
from domain.errors import NotFound
from domain.payments import NEVER_ASKED, PaymentStatus
from domain.plan_schedule import ASKED, ScheduledInstalment

Columns = TypeVarTuple("Columns")

OPEN = ("active", "paused")
"""Plans that go on; at most one of them is on an account."""

NOT_DONE = ("scheduled", "collecting")


class PlanStore(Store):
    """Plans and their instalments. Who changes one has locked its account before."""

    async def make(
        self, account: LockedAccount, instalments: Sequence[ScheduledInstalment], **values: Any
    ) -> PaymentPlan:
        """Record a plan with its instalments, active."""
        plan = PaymentPlan(
            agency_id=self._agency_id,
            account_id=account.id,
            currency=account.currency,
            made_by=self._tenant.actor.name,
            **values,
        )
        self._session.add(plan)
        await self._session.flush()
        await self._session.refresh(plan)
        self._session.add_all(
            PlanInstalment(agency_id=self._agency_id, plan_id=plan.id, **one.model_dump())
            for one in instalments
        )
        await self._session.flush()
        return plan

    async def get(self, plan_id: UUID) -> PaymentPlan:
        """One plan, as it is now. ``NotFound``."""
        plan = await self._session.scalar(_fresh(self._plans(PaymentPlan.id == plan_id)))
        if plan is None:
            raise NotFound("there is no such plan")
        return plan

    async def open_on(self, account_id: UUID) -> PaymentPlan | None:
        """The plan that is active or paused on an account."""
        return await self._load(
            PaymentPlan,
            b"AND account_id = %(account)s AND status = ANY (%(open)s)",
            {"account": account_id, "open": list(OPEN)},
            anew=True,
        )

    async def of_debtor(self, account_id: UUID) -> Sequence[UUID]:
        """Every plan there ever was on an account or on another one of its debtor's."""
        debtor = select(Account.debtor_id).where(
            Account.agency_id == self._agency_id, Account.id == account_id
        )
        accounts = select(Account.id).where(
            Account.agency_id == self._agency_id, Account.debtor_id == debtor.scalar_subquery()
        )
        query = select(PaymentPlan.id).where(
            PaymentPlan.agency_id == self._agency_id, PaymentPlan.account_id.in_(accounts)
        )
        return (await self._session.scalars(query)).all()

    async def latest_on(self, account_id: UUID) -> PaymentPlan | None:
        """The plan that was made last on an account, whatever became of it."""
        query = self._plans(PaymentPlan.account_id == account_id).order_by(PaymentPlan.id.desc()).limit(1)
        return await self._session.scalar(_fresh(query))

    async def of_instalment(self, instalment_id: UUID) -> PaymentPlan:
        """The plan that an instalment is of."""
        plan_id = select(PlanInstalment.plan_id).where(
            PlanInstalment.agency_id == self._agency_id, PlanInstalment.id == instalment_id
        )
        query = self._plans(PaymentPlan.id == plan_id.scalar_subquery())
        return (await self._session.scalars(_fresh(query))).one()

    async def instalments(self, plan_id: UUID) -> list[PlanInstalment]:
        """All instalments of a plan, as they are now, in order."""
        query = select(PlanInstalment).where(
            PlanInstalment.agency_id == self._agency_id, PlanInstalment.plan_id == plan_id
        )
        return list(await self._session.scalars(_fresh(query.order_by(PlanInstalment.number))))

    async def next_instalments(self, plan_ids: Sequence[UUID]) -> Mapping[UUID, PlanInstalment]:
        """By plan, the first instalment that is neither paid nor over, where there is one."""
        first = (
            select(PlanInstalment.plan_id, func.min(PlanInstalment.number))
            .where(
                PlanInstalment.agency_id == self._agency_id,
                PlanInstalment.plan_id.in_(plan_ids),
                _is_next(),
            )
            .group_by(PlanInstalment.plan_id)
        )
        query = select(PlanInstalment).where(
            PlanInstalment.agency_id == self._agency_id,
            tuple_(PlanInstalment.plan_id, PlanInstalment.number).in_(first),
        )
        return {one.plan_id: one for one in await self._session.scalars(query)}

    async def change(self, plan: PaymentPlan, **values: Any) -> None:
        """Write what is decided of a plan."""
        for name, value in values.items():
            setattr(plan, name, value)
        plan.version += 1
        plan.updated_at = await self._now()
        await self._session.flush()

    async def note_look(self, plan: PaymentPlan, at: datetime | None) -> None:
        """Write when a plan is to be looked at next; that changes nothing of it."""
        plan.next_look_at = at
        await self._session.flush()

    async def end(self, plan: PaymentPlan, status: str, because: str) -> None:
        """Say what became of a plan."""
        await self.change(
            plan, status=status, ended_because=because, ended_at=await self._now(), paused_because=None
        )

    async def change_instalment(self, instalment: PlanInstalment, **values: Any) -> None:
        """Write what is decided of an instalment."""
        for name, value in values.items():
            setattr(instalment, name, value)
        await self._session.flush()

    async def mark_paid(self, instalment: PlanInstalment) -> None:
        """The money of an instalment is here."""
        await self.change_instalment(instalment, status="paid", paid_at=await self._now(), next_try_on=None)

    async def page(
        self,
        position: Position | None,
        limit: int,
        *,
        account_id: UUID | None = None,
        statuses: Collection[str] = (),
        only_for: UUID | None = None,
    ) -> Sequence[PaymentPlan]:
        """Plans, newest first, keyed by ``(id,)``; ``only_for``: of a collector's accounts."""
        query = on_accounts(PaymentPlan, self._agency_id, account_id, statuses, only_for)
        return (await self._session.scalars(newest_first(query, (PaymentPlan.id,), position, limit))).all()

    async def upcoming(
        self, first: date, last: date, position: Position | None, limit: int, *, only_for: UUID | None
    ) -> Sequence[tuple[PlanInstalment, PaymentPlan]]:
        """Instalments that active plans charge to a payment method on days from ``first`` to ``last``, the
        furthest first, keyed by ``(collect_on, id)``; ``only_for`` as ``page``.
        """
        theirs = on_accounts(PaymentPlan, self._agency_id, None, ("active",), only_for)
        charged = theirs.where(PaymentPlan.payment_method.is_not(None)).with_only_columns(PaymentPlan.id)
        query = (
            select(PlanInstalment, PaymentPlan)
            .join(PaymentPlan, PaymentPlan.id == PlanInstalment.plan_id)
            .where(
                PaymentPlan.agency_id == self._agency_id,
                PlanInstalment.agency_id == self._agency_id,
                PlanInstalment.plan_id.in_(charged),
                PlanInstalment.status == "scheduled",
                PlanInstalment.collect_on.between(first, last),
            )
        )
        columns = (PlanInstalment.collect_on, PlanInstalment.id)
        rows = await self._session.execute(newest_first(query, columns, position, limit))
        return [(instalment, plan) for instalment, plan in rows]

    async def declines(self, instalment_id: UUID) -> int:
        """How often an instalment was asked for in vain by its plan's method, early tries as well."""
        found = await self._session.scalar(
            select(func.count()).where(
                Payment.agency_id == self._agency_id,
                Payment.instalment_id == instalment_id,
                Payment.off_session,
                Payment.status == PaymentStatus.FAILED.value,
                func.coalesce(Payment.failure_code, "").not_in(sorted(NEVER_ASKED)),
            )
        )
        return found or 0

    async def received_otherwise(self, plan: PaymentPlan, since: datetime) -> Decimal:
        """What was paid on a plan's account since a moment, its part of the debt, but not by the plan."""
        return await received(self._session, self._agency_id, plan.account_id, since, but_of_plan=plan.id)

    async def left_alone(self, limit: int) -> Sequence[UUID]:
        """Accounts with a plan that was to be looked at a day ago or more, and was not.

        Nobody works such a plan: its workflow was lost, or never started. One without a time to be looked at
        waits for its payment, or for whoever paused it; else it was never looked at.
        """
        being_paid = exists().where(
            PlanInstalment.agency_id == PaymentPlan.agency_id,
            PlanInstalment.plan_id == PaymentPlan.id,
            PlanInstalment.status == "collecting",
        )
        waits = PaymentPlan.paused_because.is_not_distinct_from(ASKED) | being_paid
        since = func.coalesce(PaymentPlan.next_look_at, case((~waits, PaymentPlan.updated_at)))
        query = select(PaymentPlan.account_id).where(
            PaymentPlan.agency_id == self._agency_id,
            PaymentPlan.status.in_(OPEN),
            since < func.now() - timedelta(days=1),
        )
        return (await self._session.scalars(query.limit(limit))).all()

    def _plans(self, condition: ColumnElement[bool]) -> "Select[PaymentPlan]":
        return select(PaymentPlan).where(PaymentPlan.agency_id == self._agency_id, condition)


def _is_next() -> ColumnElement[bool]:
    return or_(
        PlanInstalment.status.in_(NOT_DONE),
        and_(PlanInstalment.status == "missed", PlanInstalment.next_try_on.is_not(None)),
    )


def _fresh(query: "Select[*Columns]") -> "Select[*Columns]":
    """Past what this transaction has read before: whoever held the lock has changed it."""
    return query.execution_options(populate_existing=True)
