"""Asking for figures to be counted anew, behind the caller's back."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.figures import FiguresRequest
from workflows import attributes, queues
from workflows.figures import FiguresRefresh

if TYPE_CHECKING:
    from temporalio.client import Client

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

_log = structlog.stdlib.get_logger("figures")


class FigureRequests:
    """Starts ``FiguresRefresh`` of an agency, unless one is at work."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._under_way: dict[UUID, asyncio.Task[None]] = {}

    def ask(self, agency_id: UUID) -> None:
        """Does its best, waits for nothing and never raises: a schedule counts every few minutes anyway."""
        if agency_id not in self._under_way:
            asking = asyncio.create_task(self._ask(agency_id))
            self._under_way[agency_id] = asking
            asking.add_done_callback(lambda _: self._under_way.pop(agency_id, None))

    async def _ask(self, agency_id: UUID) -> None:
        try:
            await self._client.start_workflow(
                FiguresRefresh.run,
                FiguresRequest(agency_id=agency_id),
                id=queues.figures_workflow_id(agency_id),
                task_queue=queues.LIFECYCLE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                priority=Priority(fairness_key=str(agency_id)),
                static_summary="figures",
                rpc_timeout=PATIENCE,
            )
        except RPCError as error:
            _log.warning("figures were not asked for", agency_id=str(agency_id), status=error.status.name)
