"""How the workflow of a plan is started, whoever does it: its maker, or somebody who has news for it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from services.lifecycle_start import StartOptions
from services.with_start import seen
from workflows import attributes, queues
from workflows.plan_messages import PlanInput
from workflows.plans import PaymentPlan

_log = structlog.stdlib.get_logger("plans")


class PlanStarter:
    """Starts the workflows of plans; no harm where they run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def begin(self, agency_id: UUID, plan_id: UUID, patience: timedelta) -> None:
        """Start a plan's workflow and wait until its payment method is kept or refused, for ``patience``.

        Does its best and never raises for a server that is away or slow: the row says where the plan stands,
        and a notice of its account has it started later.
        """
        start = WithStartWorkflowOperation(
            PaymentPlan.run, plan_input(agency_id, plan_id), **plan_options(agency_id, plan_id)
        )
        asked = self._client.execute_update_with_start_workflow(
            PaymentPlan.ready, start_workflow_operation=start
        )
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await asked
        except (
            TimeoutError,
            WorkflowUpdateRPCTimeoutOrCancelledError,
            WorkflowUpdateFailedError,
            RPCError,
        ) as error:
            _log.info("a plan is not waited for", error_type=type(error).__name__)
        finally:
            await seen(start)


def plan_input(agency_id: UUID, plan_id: UUID) -> PlanInput:
    """What a plan's workflow is started with."""
    return PlanInput(agency_id=agency_id, plan_id=plan_id)


def plan_options(agency_id: UUID, plan_id: UUID) -> StartOptions:
    """How a plan's workflow is started; one that has ended starts again, sees that and ends."""
    return {
        "id": queues.plan_workflow_id(plan_id),
        "task_queue": queues.LIFECYCLE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "search_attributes": attributes.of_agency(agency_id),
        "priority": Priority(fairness_key=str(agency_id)),
        "static_summary": "payment plan",
    }
