"""What a crash, or a server that was away, has left between a row and the workflow that follows it."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.reconciliation_messages import SweepRequest, Swept
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from db.models import Payment, Refund
    from db.session import Database

ACTOR = "payment-sweep"
BATCH = 200
MOST = 2_000
"""Of each kind in one sweep; the next one goes on."""


class PaymentSweepActivities:
    """The step of ``PaymentSweep``: each start does no harm where there is nothing to start, and raises
    ``Unavailable`` while Temporal is away.
    """

    def __init__(
        self,
        db: "Database",
        start_payment: "Callable[[Payment], Awaitable[None]]",
        start_refund: "Callable[[Payment, Refund], Awaitable[None]]",
        start_event: "Callable[[UUID, UUID], Awaitable[None]]",
    ) -> None:
        self._db = db
        self._start_payment = start_payment
        self._start_refund = start_refund
        self._start_event = start_event

    @activity.defn(name="payments.sweep")
    async def sweep(self, request: SweepRequest) -> Swept:
        """Start the processes of payments and refunds that wait, and the workflows of events."""
        tenant = Tenant.system(request.agency_id, ACTOR)
        async with heartbeating():
            return Swept(
                payments=await self._payments(tenant),
                refunds=await self._refunds(tenant),
                events=await self._events(tenant, every=request.every),
            )

    async def _payments(self, tenant: Tenant) -> int:
        count, after = 0, None
        while count < MOST:
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.payment_reconciliations.waiting_payments(after, BATCH)
            for payment in waiting:
                await self._start_payment(payment)
            count += len(waiting)
            if len(waiting) < BATCH:
                break
            after = waiting[-1].id
        return count

    async def _refunds(self, tenant: Tenant) -> int:
        count, after = 0, None
        while count < MOST:
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.payment_reconciliations.waiting_refunds(after, BATCH)
            for payment, refund in waiting:
                await self._start_refund(payment, refund)
            count += len(waiting)
            if len(waiting) < BATCH:
                break
            after = waiting[-1][1].id
        return count

    async def _events(self, tenant: Tenant, *, every: bool) -> int:
        count, after = 0, None
        while count < MOST:
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.inbox.due(BATCH, after=after, every=every)
            for event_id in waiting:
                await self._start_event(tenant.agency_id, event_id)
            count += len(waiting)
            if len(waiting) < BATCH:
                break
            after = waiting[-1]
        return count
