"""Starting what handles stored events, and waking what waits for them."""

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.inbox_messages import InboxRef
from domain.errors import Unavailable
from workflows import attributes, queues
from workflows.inbox import InboxEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from db.models import Payment

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

_log = structlog.stdlib.get_logger("inbox")


class InboxStarter:
    """Starts the workflows of stored events; no harm where one runs. One that has ended runs again."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, agency_id: "UUID", event_id: "UUID") -> None:
        """Have an event handled. ``Unavailable`` while Temporal is away: the event is kept."""
        try:
            await self._client.start_workflow(
                InboxEvent.run,
                InboxRef(agency_id=agency_id, event_id=event_id),
                id=queues.inbox_workflow_id(event_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                priority=Priority(fairness_key=str(agency_id)),
                static_summary="event of the payment provider",
                rpc_timeout=PATIENCE,
            )
        except RPCError as error:
            raise Unavailable("Temporal did not take the start of an event; it is tried again") from error


class ProcessWaker:
    """Wakes the processes that wait for a payment and for refunds of it. Where none runs, none is woken."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def wake(self, payment: "Payment", refund_ids: "Sequence[UUID]") -> None:
        """Tell them that the provider has spoken. Never raises: they look again by themselves, later."""
        await self._signal(
            queues.payment_workflow_id(payment.agency_id, payment.origin, payment.idempotency_key)
        )
        for refund_id in refund_ids:
            await self._signal(queues.refund_workflow_id(refund_id))

    async def _signal(self, workflow_id: str) -> None:
        try:
            await self._client.get_workflow_handle(workflow_id).signal("provider_spoke", rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                _log.warning("a process was not woken", workflow_id=workflow_id, status=error.status.name)
