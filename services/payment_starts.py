"""How the processes of payments and refunds are started, whoever does it: a request, or a sweep later."""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from domain.errors import Unavailable
from domain.payments import BY_PROVIDER
from services.lifecycle_start import StartOptions
from services.with_start import seen
from workflows import attributes, queues
from workflows.payment_messages import PaymentProcessInput, PaymentWay, RefundProcessInput
from workflows.payments import PaymentProcess
from workflows.refunds import RefundProcess

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from db.models import Payment, Refund

THANKS_PATH = "/api/v1/payments/thank-you"
"""Where a debtor comes back to from the provider's page, on the address at which they reach the API."""

START_PATIENCE_S = 3.0
"""How long Temporal may take to answer."""

_log = structlog.stdlib.get_logger("payments")


class PaymentStarter:
    """Starts what follows the rows of payments and refunds; no harm where that was done."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, payment: "Payment") -> None:
        """Start a payment's process. ``Unavailable`` while Temporal is away: the row waits for a sweep."""
        await self._start(PaymentProcess.run, process_input(payment), payment_options(payment))

    async def start_refund(self, payment: "Payment", refund: "Refund") -> None:
        """Start a refund's process; as ``start``."""
        await self._start(RefundProcess.run, _refund_input(payment, refund), _refund_options(refund))

    async def begin(self, payment: "Payment", patience: "timedelta") -> None:
        """Start a payment's process and wait until something is known of the payment, for ``patience``.

        Does its best and never raises for a server that is away or slow: the row says where it stands.
        """
        await self._begin(
            PaymentProcess.run,
            process_input(payment),
            PaymentProcess.first_answer,
            payment_options(payment),
            patience,
        )

    async def end(self, payment: "Payment", patience: "timedelta") -> None:
        """Have a payment's process look at it, and wait for its end, for ``patience``; as ``begin``."""
        options = payment_options(payment)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                process = await self._client.start_workflow(
                    PaymentProcess.run, process_input(payment), start_signal="provider_spoke", **options
                )
                await process.result()
        except (TimeoutError, RPCError, WorkflowFailureError) as error:
            _log.info("a payment is not waited for", error_type=type(error).__name__)
        except WorkflowAlreadyStartedError:
            # It has ended; the row says how.
            return

    async def begin_refund(self, payment: "Payment", refund: "Refund", patience: "timedelta") -> None:
        """Start a refund's process and wait until something is known of it; as ``begin``."""
        await self._begin(
            RefundProcess.run,
            _refund_input(payment, refund),
            RefundProcess.first_answer,
            _refund_options(refund),
            patience,
        )

    async def _start(self, run: Any, given: Any, options: StartOptions) -> None:
        try:
            async with asyncio.timeout(START_PATIENCE_S):
                await self._client.start_workflow(run, given, **options)
        except WorkflowAlreadyStartedError:
            return
        except (RPCError, TimeoutError) as error:
            raise Unavailable("Temporal did not take the start of a payment; it is tried again") from error

    async def _begin(
        self, run: Any, given: Any, first_answer: Any, options: StartOptions, patience: "timedelta"
    ) -> None:
        start = WithStartWorkflowOperation(run, given, **options)
        asked = self._client.execute_update_with_start_workflow(first_answer, start_workflow_operation=start)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await asked
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
            _log.info("a payment is not waited for", error_type=type(error).__name__)
        except (WorkflowAlreadyStartedError, WorkflowUpdateFailedError):
            # It has ended; the row says how.
            return
        finally:
            await seen(start)


def process_input(payment: "Payment") -> PaymentProcessInput:
    """What a payment's process is started with."""
    return PaymentProcessInput(
        agency_id=payment.agency_id, payment_id=payment.id, way=way_of(payment), books_at_once=True
    )


def way_of(payment: "Payment") -> PaymentWay:
    """How the money of a payment comes."""
    if payment.origin == "link":
        return PaymentWay.LINK
    return PaymentWay.PROVIDER if payment.method in BY_PROVIDER else PaymentWay.HAND


def payment_options(payment: "Payment") -> StartOptions:
    """How a payment's process is started."""
    workflow_id = queues.payment_workflow_id(payment.agency_id, payment.origin, payment.idempotency_key)
    return _options(payment.agency_id, workflow_id, "payment")


def _refund_input(payment: "Payment", refund: "Refund") -> RefundProcessInput:
    return RefundProcessInput(
        agency_id=refund.agency_id,
        payment_id=refund.payment_id,
        refund_id=refund.id,
        by_provider=payment.method in BY_PROVIDER,
    )


def _refund_options(refund: "Refund") -> StartOptions:
    return _options(refund.agency_id, queues.refund_workflow_id(refund.id), "refund")


def _options(agency_id: "UUID", workflow_id: str, summary: str) -> StartOptions:
    return {
        "id": workflow_id,
        "task_queue": queues.LIFECYCLE,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "search_attributes": attributes.of_agency(agency_id),
        "priority": Priority(fairness_key=str(agency_id)),
        "static_summary": summary,
    }
