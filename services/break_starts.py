"""How the case of a break is started, or told, whoever does it: a person's command, a run, a sweep."""

from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.break_messages import BreakRef
from domain.errors import Unavailable
from services.lifecycle_start import StartOptions
from workflows import attributes, queues
from workflows.break_case import BreakCase

PATIENCE = timedelta(seconds=3)
"""How long Temporal may take to answer."""

_log = structlog.stdlib.get_logger("breaks")


class BreakCaseStarter:
    """Starts cases and tells those that run; a case that has nothing to do ends by itself."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, agency_id: UUID, break_id: UUID) -> None:
        """Start the case of a break, or tell the one that runs to look again. ``Unavailable``."""
        try:
            await self._client.start_workflow(
                BreakCase.run,
                BreakRef(agency_id=agency_id, break_id=break_id),
                start_signal="changed",
                rpc_timeout=PATIENCE,
                **break_options(agency_id, break_id),
            )
        except RPCError as error:
            raise Unavailable("Temporal did not take the start of a case; it is tried again") from error

    async def answer(self, break_id: UUID) -> bool:
        """Tell a case that the partner's next statement is in; whether one runs. ``Unavailable``."""
        return await self._signal(break_id, "answered")

    async def tell(self, agency_id: UUID, break_id: UUID, *, begin: bool) -> None:
        """After the commit of a command: have the case look again; ``begin``: start it where none runs.

        Does its best and never raises: a sweep starts what is wanted, and a case looks again by itself.
        """
        try:
            if begin:
                await self.start(agency_id, break_id)
            else:
                await self._signal(break_id, "changed")
        except Unavailable as error:
            _log.warning("the case of a break was not told", break_id=str(break_id), error_type=error.type)

    async def _signal(self, break_id: UUID, signal: str) -> bool:
        case = self._client.get_workflow_handle(queues.break_workflow_id(break_id))
        try:
            await case.signal(signal, rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise Unavailable("Temporal takes no signals at the moment; it is tried again") from error
        return True


def break_options(agency_id: UUID, break_id: UUID) -> StartOptions:
    """How the case of a break is started; one that has ended starts again."""
    return {
        "id": queues.break_workflow_id(break_id),
        "task_queue": queues.LIFECYCLE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "search_attributes": attributes.of_agency(agency_id),
        "priority": Priority(fairness_key=str(agency_id)),
        "static_summary": "break of a reconciliation",
    }
