"""A stand-in for a payment's workflow.

By itself, and with few imports: the sandbox loads a workflow's module again for each run of it.
"""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow

from activities.payment_messages import PaymentView
from domain.payments import PaymentStatus
from workflows import queues
from workflows.payment_messages import PaymentProcessInput


@workflow.defn(name="PaymentProcess")
class FakePayment:
    """A payment that takes two days, or fails as a workflow."""

    @workflow.run
    async def run(self, request: PaymentProcessInput) -> PaymentView:
        await workflow.sleep(timedelta(days=2))
        await workflow.execute_activity(
            "till.paid", task_queue=queues.LIFECYCLE, start_to_close_timeout=timedelta(seconds=5)
        )
        return PaymentView(
            payment_id=request.payment_id,
            account_id=UUID(int=1),
            status=PaymentStatus.SUCCEEDED,
            by_provider=True,
        )
