"""Reconciliation with the payment provider, and the sweep that starts what rows are still waiting for."""

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError

from activities.payment_reconciliation import ReconciliationActivities
from activities.payment_sweep import PaymentSweepActivities
from activities.reconciliation_messages import (
    Conclusion,
    FailedReconciliation,
    LookUp,
    Mend,
    ReconciliationRef,
    ReconciliationRequest,
    ReconciliationSummary,
    SweepRequest,
    Swept,
)
from workflows import policies, queues
from workflows.failures import cause_of


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PaymentSweep:
    """Starts the processes of payments and refunds that have none, and what handles events that wait."""

    @workflow.run
    async def run(self, request: SweepRequest) -> Swept:
        """Returns how many were seen to; most of them are at work already."""
        return await _sweep(request)


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class PaymentReconciliation:
    """One comparison of our books with Stripe's: what is not final is looked up, what differs is mended
    through the posting path of all payments, what then remains is kept as breaks.
    """

    def __init__(self) -> None:
        self._looked_up = 0
        self._mended = 0

    @workflow.run
    async def run(self, request: ReconciliationRequest) -> ReconciliationSummary | None:
        """What the run came to; None for a scheduled one of an agency without a Stripe account."""
        ref = await self._open(request)
        if ref is None:
            return None
        try:
            if not ref.over:
                every = request.origin == "manual"
                await _sweep(SweepRequest(agency_id=ref.agency_id, every=every))
                await self._look_up(ref)
                await self._compare(ref)
            summary = await workflow.execute_activity_method(
                ReconciliationActivities.conclude,
                Conclusion(
                    agency_id=ref.agency_id,
                    run_id=ref.run_id,
                    looked_up=self._looked_up,
                    mended=self._mended,
                ),
                task_queue=queues.BULK,
                **policies.RECONCILIATION_STEP,
            )
        except ActivityError as error:
            raise await self._fail(ref, cause_of(error)) from error
        workflow.set_current_details(
            f"{summary.looked_up:,} looked up, {summary.mended:,} mended, {summary.breaks:,} breaks"
        )
        return summary

    async def _open(self, request: ReconciliationRequest) -> ReconciliationRef | None:
        try:
            return await workflow.execute_activity_method(
                ReconciliationActivities.open, request, task_queue=queues.BULK, **policies.DB_WRITE
            )
        except ActivityError as error:
            if request.run_id is None:
                raise
            # Whoever asked has made the row: it must not seem to be at work.
            ref = ReconciliationRef(agency_id=request.agency_id, run_id=request.run_id)
            raise await self._fail(ref, cause_of(error)) from error

    async def _look_up(self, ref: ReconciliationRef) -> None:
        batch = LookUp(agency_id=ref.agency_id)
        while True:
            done = await workflow.execute_activity_method(
                ReconciliationActivities.look_up,
                batch,
                task_queue=queues.BULK,
                **policies.RECONCILIATION_STEP,
            )
            self._count(done.looked_up, done.changed)
            if done.after is None:
                return
            batch = LookUp(agency_id=ref.agency_id, after=done.after)

    async def _compare(self, ref: ReconciliationRef) -> None:
        await workflow.execute_activity_method(
            ReconciliationActivities.stage, ref, task_queue=queues.BULK, **policies.RECONCILIATION_STEP
        )
        batch = Mend(agency_id=ref.agency_id, run_id=ref.run_id)
        while True:
            done = await workflow.execute_activity_method(
                ReconciliationActivities.mend, batch, task_queue=queues.BULK, **policies.RECONCILIATION_STEP
            )
            self._count(done.looked_up, done.changed)
            if done.after is None:
                return
            batch = Mend(agency_id=ref.agency_id, run_id=ref.run_id, after=done.after)

    def _count(self, looked_up: int, mended: int) -> None:
        self._looked_up += looked_up
        self._mended += mended
        workflow.set_current_details(f"{self._looked_up:,} looked up, {self._mended:,} mended")

    async def _fail(self, ref: ReconciliationRef, cause: ApplicationError) -> ApplicationError:
        """Say in the run's row why it ends; the failure that the workflow then ends with."""
        await workflow.execute_activity_method(
            ReconciliationActivities.fail,
            FailedReconciliation(agency_id=ref.agency_id, run_id=ref.run_id, reason=cause.message),
            task_queue=queues.BULK,
            **policies.DB_WRITE,
        )
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)


async def _sweep(request: SweepRequest) -> Swept:
    swept = await workflow.execute_activity_method(
        PaymentSweepActivities.sweep, request, task_queue=queues.BULK, **policies.ADMISSION
    )
    workflow.set_current_details(
        f"{swept.payments:,} payments, {swept.refunds:,} refunds, {swept.events:,} events seen to"
    )
    return swept
