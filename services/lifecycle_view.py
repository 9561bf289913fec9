"""The workflow behind an account, read from Temporal: where it stands and what it waits for."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable
from services.fields import View
from services.web_ui import WebUi
from workflows.queues import account_workflow_id

PATIENCE = timedelta(seconds=5)
"""How long Temporal or a worker may take to answer."""

NOT_STARTED = "not_started"


class NextStep(View):
    """Something that the workflow waits for; ``at`` is null when only an event can bring it."""

    what: str
    at: datetime | None = None


class WorkflowView(View):
    """A workflow as Temporal knows it. ``state`` is its own account of itself, null when it has ended
    or no worker answers (``problem`` then says so)."""

    workflow_id: str
    run_id: str | None
    status: str = Field(examples=["running", "completed", NOT_STARTED])
    state: Any
    next: tuple[NextStep, ...]
    web_ui_url: str
    problem: str | None = None

    def with_step(self, step: NextStep) -> "WorkflowView":
        """The same with something else that is waited for, in its place: the nearest first."""
        steps = (*self.next, step)
        timed = sorted((one.at, place) for place, one in enumerate(steps) if one.at is not None)
        untimed = [one for one in steps if one.at is None]
        next_ = (*(steps[place] for _, place in timed), *untimed)
        return self.model_copy(update={"next": next_})


class _Description(BaseModel):
    """What the lifecycle's query ``describe`` answers."""

    state: Any = None
    next: tuple[NextStep, ...] = ()


class LifecycleReader:
    """Reads ``AccountLifecycle`` workflows. Raises ``RPCError`` or ``Unavailable`` while Temporal does not
    answer."""

    def __init__(self, client: Client, web_ui: WebUi) -> None:
        self._client = client
        self._web_ui = web_ui

    async def read(self, account_id: UUID) -> WorkflowView:
        """The view of one account's workflow."""
        workflow_id = account_workflow_id(account_id)
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            # The client asks a server that is away again and again, whatever one request may take.
            async with asyncio.timeout(PATIENCE.total_seconds()):
                description = await handle.describe(rpc_timeout=PATIENCE)
        except TimeoutError:
            raise Unavailable("the workflow server does not answer at the moment; ask again") from None
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return WorkflowView(
                workflow_id=workflow_id,
                run_id=None,
                status=NOT_STARTED,
                state=None,
                next=(),
                web_ui_url=self._web_ui.workflow(workflow_id),
            )
        status = description.status
        told, problem = _Description(), None
        if status is WorkflowExecutionStatus.RUNNING:
            told, problem = await self._ask(handle)
        return WorkflowView(
            workflow_id=workflow_id,
            run_id=description.run_id,
            status=status.name.lower() if status else "unknown",
            state=told.state,
            next=told.next,
            web_ui_url=self._web_ui.workflow(workflow_id, description.run_id),
            problem=problem,
        )

    async def _ask(self, handle: WorkflowHandle[Any, Any]) -> tuple[_Description, str | None]:
        """The workflow's own words; queries need a worker, the rest of the view does not."""
        try:
            return await handle.query("describe", result_type=_Description, rpc_timeout=PATIENCE), None
        except (RPCError, WorkflowQueryFailedError):
            return _Description(), "no worker answers for this workflow at the moment"
