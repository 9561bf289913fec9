"""Starting workflows from activities."""

from typing import TYPE_CHECKING

from temporalio.common import Priority, SearchAttributePair, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from domain.errors import Unavailable
from workflows import attributes, queues
from workflows.account_messages import LifecycleInput
from workflows.accounts import AccountLifecycle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.client import Client

    from activities.messages import AccountRef

TOP_PRIORITY = 4


def lifecycle_starter(client: "Client") -> "Callable[[AccountRef, int, str], Awaitable[None]]":
    """Starts the lifecycle of an account with its priority (0–3) and status; no harm where it runs."""

    async def start(ref: "AccountRef", priority: int, status: str) -> None:
        try:
            await client.start_workflow(
                AccountLifecycle.run,
                LifecycleInput(agency_id=ref.agency_id, account_id=ref.account_id),
                id=queues.account_workflow_id(ref.account_id),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(
                    ref.agency_id, SearchAttributePair(attributes.ACCOUNT_STATUS, status)
                ),
                priority=Priority(priority_key=TOP_PRIORITY - priority, fairness_key=str(ref.agency_id)),
                static_summary="account lifecycle",
                request_eager_start=True,
            )
        except RPCError as error:
            raise Unavailable("Temporal did not take the start of a lifecycle; it is tried again") from error

    return start
