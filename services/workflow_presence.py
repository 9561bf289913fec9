"""Whether the workflow of a row that says it is at work is there at all: somebody may have terminated it."""

from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable

PATIENCE = timedelta(seconds=3)
"""How long Temporal may take to answer."""


class WorkflowPresence:
    """Asks Temporal about workflows by their ids."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def has_ended(self, workflow_id: str) -> bool:
        """Whether the newest workflow of this id is closed, or none is known any more. ``Unavailable``."""
        try:
            described = await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise Unavailable("Temporal does not say whether the workflow is at work; try again") from error
        return described.status is not WorkflowExecutionStatus.RUNNING
