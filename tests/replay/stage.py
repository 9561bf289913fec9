"""Where workflows are run anew for their fingerprints: a clock that skips, and steps that answer as told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from temporalio import activity
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.replay.commands import commands_of
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS
from workflows import attributes, queues

WITHIN_S = 90
_TASKS = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    }
)
Handle = WorkflowHandle[Any, Any]
Answers = Mapping[str, Sequence[Any]]
Story = Callable[["Run"], Awaitable[Handle]]


@dataclass(frozen=True)
class Scenario:
    """What is told to a workflow, and what its steps answer."""

    name: str
    workflow: type
    about: str
    story: Story


SCENARIOS: dict[str, Scenario] = {}


def scenario(workflow: type) -> Callable[[Story], Story]:
    """The standard scenario of a workflow: a story that starts it and returns its handle.

    Its first line of documentation heads the fingerprint, which is named after it.
    """

    def keep(story: Story) -> Story:
        name = getattr(story, "__name__", "").replace("_", "-")
        SCENARIOS[name] = Scenario(name, workflow, (story.__doc__ or "").strip(), story)
        return story

    return keep


@dataclass
class Run:
    """One scenario under way. ``now``: the time of the server when it began.

    ``answers``: what each step answers, in turn, the last one again and again; an exception is raised.
    """

    scenario: Scenario
    environment: WorkflowEnvironment
    now: datetime
    answers: dict[str, Sequence[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    stuck: asyncio.Event = field(default_factory=asyncio.Event)
    workflow_id: str = ""

    @property
    def agency_id(self) -> UUID:
        """An agency of its own for each scenario: others leave workflows behind that have its id."""
        return self.id("agency")

    def id(self, what: str) -> UUID:
        """An id, the same in every run of this scenario."""
        return uuid5(NAMESPACE_URL, f"{self.scenario.name}/{what}")

    def ref(self, message: Callable[..., Any], **more: Any) -> Any:
        """A message about this agency."""
        return message(agency_id=self.agency_id, **more)

    async def start(self, start: Any, workflow_id: str) -> Handle:
        """Start the workflow that the scenario is about."""
        self.workflow_id = workflow_id
        return await self.environment.client.start_workflow(
            self.scenario.workflow.run,  # type: ignore[attr-defined]
            start,
            id=workflow_id,
            task_queue=queues.LIFECYCLE,
        )

    async def start_with(self, update: Any, start: Any, workflow_id: str) -> Handle:
        """Start it by an update, and wait for the answer. Its handle lets no time pass."""
        self.workflow_id = workflow_id
        operation: Any = WithStartWorkflowOperation(
            self.scenario.workflow.run,  # type: ignore[attr-defined]
            start,
            id=workflow_id,
            task_queue=queues.LIFECYCLE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        await self.environment.client.execute_update_with_start_workflow(
            update, start_workflow_operation=operation
        )
        handle: Handle = await operation.workflow_handle()
        return handle

    async def sleep(self, length: timedelta) -> None:
        """Let time pass, for workflows only."""
        await self.environment.sleep(length)

    async def rest(self, handle: Handle, step: str, times: int = 1) -> None:
        """Wait until the workflow has asked for a step so often, and has then nothing to do but wait.

        What it is told only now comes at the same place in every run.
        """
        while self.asked.count(step) < times or not at_rest(await handle.fetch_history()):
            await asyncio.sleep(0.01)

    async def ended(self, handle: Handle) -> Handle:
        """Wait for the end of a workflow that fails."""
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
        return handle

    async def refused(self, update: Awaitable[Any]) -> None:
        """Wait for an update that is refused by its step."""
        with contextlib.suppress(WorkflowUpdateFailedError):
            await update

    def answer(self, step: str) -> Any:
        """What a step answers now. Raises what it is to raise."""
        self.asked.append(step)
        if step not in self.answers:
            self.unanswered.add(step)
            self.stuck.set()
            raise ApplicationError(f"the scenario has no answer of {step}", non_retryable=True)
        answers = self.answers[step]
        given = answers[min(self.asked.count(step), len(answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return given


def refusal(reason: str) -> ApplicationError:
    """A step fails for good, for a reason of this type."""
    return ApplicationError("not like this", type=reason, non_retryable=True)


def at_rest(history: WorkflowHistory) -> bool:
    """Whether neither a step nor a task of the workflow itself is under way."""
    under_way: set[int] = set()
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            under_way.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            under_way.remove(event.activity_task_completed_event_attributes.scheduled_event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            under_way.remove(event.activity_task_failed_event_attributes.scheduled_event_id)
    return not under_way and history.events[-1].event_type not in _TASKS


class Stage:
    """Serves all queues, with the product's workflows, and plays one scenario after the other."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self._run: Run | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        client = self._environment.client
        wanted = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in attributes.ALL}
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=wanted)
        )
        async with AsyncExitStack() as stack:
            for queue in queues.ALL:
                worker = Worker(
                    client,
                    task_queue=queue,
                    workflows=WORKFLOWS if queue == queues.LIFECYCLE else [],
                    activities=[self._step],
                    workflow_runner=workflow_runner(),
                    # One after the other, so that they end in their order.
                    max_concurrent_activities=1,
                )
                await stack.enter_async_context(worker)
            yield self

    async def play(self, scenario: Scenario) -> list[str]:
        """The lines of a scenario's fingerprint: what it is about, and the commands that it came to.

        Fails where the workflow asks for a step that the scenario has no answer of, or goes on for ever.
        """
        run = self._run = Run(scenario, self._environment, await self._environment.get_current_time())
        handle = await self._told(run)
        commands = commands_of(await handle.fetch_history())
        if (await handle.describe()).status == WorkflowExecutionStatus.RUNNING:
            await handle.terminate()
        return [f"# {scenario.workflow.__name__}: {scenario.about}", "", *commands]

    async def _told(self, run: Run) -> Handle:
        """The story to its end, or until it is plain that it comes to none."""
        story = asyncio.ensure_future(run.scenario.story(run))
        stuck = asyncio.ensure_future(run.stuck.wait())
        await asyncio.wait({story, stuck}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        ended = story.done()
        for waiting in (story, stuck):
            waiting.cancel()
        await asyncio.gather(story, stuck, return_exceptions=True)
        assert not run.unanswered, (
            f"the scenario {run.scenario.name} has no answer of {sorted(run.unanswered)}"
        )
        assert ended, f"{run.scenario.name} came to no end; it asked for {run.asked}"
        return story.result()

    @activity.defn(dynamic=True)
    async def _step(self, _: Sequence[RawValue]) -> Any:
        info = activity.info()
        assert self._run is not None
        if info.workflow_id != self._run.workflow_id and info.activity_type not in self._run.answers:
            # Of a workflow that this one, or one before, has started: it is none of its fingerprint.
            raise ApplicationError("nobody answers", non_retryable=True)
        return self._run.answer(info.activity_type)
