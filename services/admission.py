"""Asking for accounts to be admitted."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.messages import AgencyRef
from workflows import attributes, queues
from workflows.admission import Admission

if TYPE_CHECKING:
    from temporalio.client import Client

PATIENCE_S = 1.0
"""How long the caller may be kept waiting for what is only a favour."""

_log = structlog.stdlib.get_logger("admission")


class AdmissionRequests:
    """Asks an agency's admission to look soon: starts it, or has the one at work look again."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, agency_id: UUID) -> None:
        """Does its best: while Temporal is away nothing is lost, for a sweep comes every few minutes.

        Waits for ``PATIENCE_S`` at most; what takes longer goes on behind the caller's back, for a
        call to Temporal that is cancelled may still be carried out.
        """
        asking = asyncio.create_task(self._ask(agency_id))
        self._under_way.add(asking)
        asking.add_done_callback(self._under_way.discard)
        await asyncio.wait({asking}, timeout=PATIENCE_S)

    async def _ask(self, agency_id: UUID) -> None:
        try:
            await self._client.start_workflow(
                Admission.run,
                AgencyRef(agency_id=agency_id),
                id=queues.admission_workflow_id(agency_id),
                task_queue=queues.LIFECYCLE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="look_again",
                search_attributes=attributes.of_agency(agency_id),
                static_summary="admission",
            )
        except RPCError as error:
            _log.warning("admission was not asked for", agency_id=str(agency_id), status=error.status.name)
