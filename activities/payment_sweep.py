"""What a crash, or a server that was away, has left between a row and the workflow that follows it."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.reconciliation_messages import SweepRequest, Swept
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from db.models import Payment, Refund
    from db.session import Database

ACTOR = "payment-sweep"
BATCH = 200
KEPT_DAYS = 400
"""How long the bodies of events are kept: longer than a payment can be disputed at the bank. What they told
of is on our own record, for good."""

MOST = 2_000
"""Of each kind in one sweep; the next one goes on."""


class PaymentSweepActivities:
    """The step of ``PaymentSweep``: each start does no harm where there is nothing to start, and raises
    ``Unavailable`` while Temporal is away. Bodies of events that have had their time are blanked as well.
    """

    def __init__(
        self,
        db: "Database",
        start_payment: "Callable[[Payment], Awaitable[None]]",
        start_refund: "Callable[[Payment, Refund], Awaitable[None]]",
        start_event: "Callable[[UUID, UUID], Awaitable[None]]",
        start_cases: "Callable[[Tenant], Awaitable[int]] | None" = None,
        wake: "Callable[[Payment, Sequence[UUID]], Awaitable[None]] | None" = None,
        *,
        most: int = MOST,
    ) -> None:
        self._db = db
        self._start_payment = start_payment
        self._start_refund = start_refund
        self._start_event = start_event
        self._start_cases = start_cases
        self._wake = wake
        self._most = most
        self._stopped: dict[tuple[UUID, str], UUID] = {}

    @activity.defn(name="payments.sweep")
    async def sweep(self, request: SweepRequest) -> Swept:
        """Start the processes of payments and refunds that wait, of events, and of breaks that are worked;
        wake those of payments that are to take nothing any more.
        """
        tenant = Tenant.system(request.agency_id, ACTOR)
        async with heartbeating():
            await self._forget_bodies(tenant)
            swept = Swept(
                payments=await self._payments(tenant),
                refunds=await self._refunds(tenant),
                events=await self._events(tenant, every=request.every),
            )
            if self._wake is not None:
                await self._unwanted(tenant, self._wake)
            if self._start_cases is not None:
                await self._start_cases(tenant)
            return swept

    async def _payments(self, tenant: Tenant) -> int:
        async def some(after: "UUID | None") -> "list[UUID]":
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.payment_reconciliations.waiting_payments(after, BATCH)
            for payment in waiting:
                await self._start_payment(payment)
            return [payment.id for payment in waiting]

        return await self._in_turn((tenant.agency_id, "payments"), some)

    async def _refunds(self, tenant: Tenant) -> int:
        async def some(after: "UUID | None") -> "list[UUID]":
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.payment_reconciliations.waiting_refunds(after, BATCH)
            for payment, refund in waiting:
                await self._start_refund(payment, refund)
            return [refund.id for _, refund in waiting]

        return await self._in_turn((tenant.agency_id, "refunds"), some)

    async def _events(self, tenant: Tenant, *, every: bool) -> int:
        async def some(after: "UUID | None") -> "list[UUID]":
            async with self._db.transaction(tenant) as tx:
                waiting = await tx.inbox.due(BATCH, after=after, every=every)
            for event_id in waiting:
                await self._start_event(tenant.agency_id, event_id)
            return list(waiting)

        return await self._in_turn((tenant.agency_id, "events"), some)

    async def _unwanted(
        self, tenant: Tenant, wake: "Callable[[Payment, Sequence[UUID]], Awaitable[None]]"
    ) -> None:
        """Wake the processes of payments that are to take nothing any more: they close their pages."""

        async def some(after: "UUID | None") -> "list[UUID]":
            async with self._db.transaction(tenant) as tx:
                unwanted = await tx.payments.unwanted(BATCH, after=after)
            for payment in unwanted:
                await wake(payment, ())
            return [payment.id for payment in unwanted]

        await self._in_turn((tenant.agency_id, "unwanted"), some)

    async def _forget_bodies(self, tenant: Tenant) -> None:
        """Blank bodies from where this worker's last sweep has stopped, the oldest first."""
        whose = (tenant.agency_id, "bodies")
        forgotten = 0
        while forgotten < self._most:
            async with self._db.transaction(tenant) as tx:
                blanked = await tx.inbox.forget_bodies(KEPT_DAYS, BATCH, after=self._stopped.get(whose))
            if blanked:
                self._stopped[whose] = max(blanked)
            forgotten += len(blanked)
            if len(blanked) < BATCH:
                return

    async def _in_turn(
        self, whose: "tuple[UUID, str]", some: "Callable[[UUID | None], Awaitable[list[UUID]]]"
    ) -> int:
        """See to batches from where this worker's last sweep has stopped, round to there again."""
        began = after = self._stopped.pop(whose, None)
        count, round_again = 0, began is not None
        while True:
            seen_to = await some(after)
            count += len(seen_to)
            if len(seen_to) == BATCH:
                after = seen_to[-1]
            elif round_again:
                after, round_again = None, False
            else:
                return count
            if not round_again and began is not None and after is not None and after >= began:
                return count
            if count >= self._most:
                if after is not None:
                    self._stopped[whose] = after
                return count
