"""How the lifecycle of an account is started, whoever does it: an admission or the first command."""

from typing import TypedDict

from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from activities.messages import AccountRef
from workflows import attributes, queues
from workflows.account_messages import LifecycleInput

TOP_PRIORITY = 4


class StartOptions(TypedDict):
    """The keyword arguments with which a client starts the workflow."""

    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    search_attributes: TypedSearchAttributes
    priority: Priority
    static_summary: str


def lifecycle_input(ref: AccountRef, *, by_command: bool = False) -> LifecycleInput:
    """What a lifecycle that starts now is given: it reads all else from the database."""
    return LifecycleInput(
        agency_id=ref.agency_id, account_id=ref.account_id, by_command=by_command, alarms=True
    )


def start_options(ref: AccountRef, priority: int, status: str) -> StartOptions:
    """For the account of ``ref`` with its priority (0–3) and status; no harm where it runs already.

    An ended lifecycle starts again: a settled or closed account can come back.
    """
    return {
        "id": queues.account_workflow_id(ref.account_id),
        "task_queue": queues.LIFECYCLE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "search_attributes": attributes.of_agency(
            ref.agency_id, SearchAttributePair(attributes.ACCOUNT_STATUS, status)
        ),
        "priority": Priority(priority_key=TOP_PRIORITY - priority, fairness_key=str(ref.agency_id)),
        "static_summary": "account lifecycle",
    }
