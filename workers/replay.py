"""Replaying histories with the workflows of this version: would it go on with what others have begun?

A history says which steps were taken and what came of each. The code of today is led through it; where it
would take other steps, the SDK calls that nondeterminism, and a running workflow would stand still.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from google.protobuf.json_format import ParseError
from temporalio.api.enums.v1 import EventType, VersioningBehavior
from temporalio.client import WorkflowHistory
from temporalio.converter import DefaultFailureConverter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from domain.errors import Conflict, Invalid
from runtime.temporal import explained
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS

if TYPE_CHECKING:
    from pathlib import Path

    from temporalio.client import Client, WorkflowHandle
    from temporalio.converter import DataConverter

Outcome = Literal["replayed", "pinned", "nondeterministic", "failed"]
MOST_NAMED = 5
RUNNING = 'ExecutionStatus="Running"'
_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)+)"')
_DEFINITION = "__temporal_workflow_definition"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one history.

    ``replayed``: the same steps. ``nondeterministic``: other steps. ``failed``: no steps, the code fails or
    does not know the type. ``pinned``: one of these two, but the workflow is pinned to the version
    ``pinned_to``, which is another one and goes on with it. ``reason`` is the SDK's, None for ``replayed``.
    """

    workflow_type: str
    workflow_id: str
    run_id: str
    events: int
    outcome: Outcome
    reason: str | None = None
    pinned_to: str | None = None

    @property
    def breaks(self) -> bool:
        """Whether this version could not go on with the workflow."""
        return self.outcome in {"nondeterministic", "failed"}


def known_types() -> tuple[str, ...]:
    """The workflow types that a worker serves, by their names at the server."""
    definitions: list[Any] = [getattr(workflow, _DEFINITION) for workflow in WORKFLOWS]
    return tuple(definition.name for definition in definitions)


async def replay(
    histories: AsyncIterator[WorkflowHistory], converter: "DataConverter", build_id: str | None = None
) -> AsyncGenerator[Verdict, None]:
    """Lead today's workflows, in their sandbox, through each of the histories in turn.

    ``converter`` has to be that of the clients and workers. With a ``build_id``, what is pinned to another
    version is told apart; without one every history counts.
    """
    replayer = Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        # What fails here is told in plain words, however failures are kept at the server.
        data_converter=replace(converter, failure_converter_class=DefaultFailureConverter),
        # One that writes nothing by itself: what differs is the answer here.
        runtime=Runtime(telemetry=TelemetryConfig(logging=None)),
    )
    async with replayer.workflow_replay_iterator(histories) as results:
        async for result in results:
            yield _verdict(result.history, result.replay_failure, build_id)


async def require_replayed(verdicts: AsyncIterator[Verdict]) -> None:
    """Raise ``Conflict`` naming the workflows that this version could not go on with, and why."""
    breaking = [verdict async for verdict in verdicts if verdict.breaks]
    if breaking:
        named = "; ".join(
            f"{each.workflow_type} {each.workflow_id} run {each.run_id}: {each.reason}"
            for each in breaking[:MOST_NAMED]
        )
        more = f"; and {len(breaking) - MOST_NAMED} more" if len(breaking) > MOST_NAMED else ""
        raise Conflict(f"this version would not go on with workflows that run: {named}{more}")


def _verdict(history: WorkflowHistory, failure: Exception | None, build_id: str | None) -> Verdict:
    outcome: Outcome = "replayed"
    pinned_to = None
    if failure is not None:
        outcome = "nondeterministic" if isinstance(failure, NondeterminismError) else "failed"
        pinned_to = _pinned_to(history)
        if build_id is not None and pinned_to not in {None, build_id}:
            outcome = "pinned"
    return Verdict(
        workflow_type=type_of(history),
        workflow_id=history.workflow_id,
        run_id=history.run_id,
        events=len(history.events),
        outcome=outcome,
        reason=_told(failure) if failure else None,
        pinned_to=pinned_to,
    )


def _told(failure: Exception) -> str:
    """The SDK's reason, out of the structure in which its core shows it."""
    found = _MESSAGE.search(str(failure))
    return found.group(1).replace('\\"', '"') if found else str(failure)


def type_of(history: WorkflowHistory) -> str:
    """The type of the workflow whose history it is."""
    return history.events[0].workflow_execution_started_event_attributes.workflow_type.name


def _pinned_to(history: WorkflowHistory) -> str | None:
    """The build id of the version that a workflow is pinned to."""
    for event in reversed(history.events):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            done = event.workflow_task_completed_event_attributes
            pinned = done.versioning_behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
            return done.deployment_version.build_id if pinned else None
    return None


async def newest(
    client: "Client", count: int, types: Sequence[str] = (), query: str = ""
) -> AsyncIterator[WorkflowHistory]:
    """Histories of a live namespace: of each type those that run, and then the newest of those that ended,
    ``count`` in all; without ``types`` of all that a worker serves, and of any other that is there.

    ``query`` narrows the list (visibility query of Temporal). Raises ``Invalid`` for a type that nobody
    serves or a query that the server does not take, and what ``explained`` makes of its other refusals.
    """
    known = known_types()
    if unknown := sorted(set(types) - set(known)):
        raise Invalid(f"there are no workflows {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    wanted = [f'WorkflowType="{name}"' for name in types or known]
    if not types:
        wanted.append(" AND ".join(f'WorkflowType!="{name}"' for name in known))
    for condition in wanted:
        narrowed = f"{condition} AND ({query})" if query else condition
        try:
            async for found in client.list_workflows(narrowed, limit=count):
                history = await _fetched(client.get_workflow_handle(found.id, run_id=found.run_id))
                if history is not None and _has_begun(history):
                    yield history
        except RPCError as error:
            if error.status == RPCStatusCode.INVALID_ARGUMENT:
                raise Invalid(f"Temporal does not take the query {query}: {error.message}") from error
            raise explained(error) from error


async def _fetched(handle: "WorkflowHandle[Any, Any]") -> WorkflowHistory | None:
    try:
        return await handle.fetch_history()
    except RPCError as error:
        # Since it was listed its time was up.
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise


def recorded_in(paths: "Iterable[Path]") -> "Sequence[Path]":
    """The files of recorded histories: those named, and all ``*.json`` below the folders named.

    Raises ``Invalid`` for a path that is not there, and for a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files or not files[0].exists():
            raise Invalid(f"{path}: there is no recorded history")
        found += files
    return found


async def recorded(files: "Iterable[Path]") -> AsyncIterator[WorkflowHistory]:
    """Histories as ``recoup replay --save``, ``temporal workflow show`` or the Web UI write them, in JSON.

    Raises ``Invalid`` for what is not one.
    """
    for file in files:
        try:
            text = file.read_text()
            started = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
            history = WorkflowHistory.from_json(started.get("workflowId", file.stem), text)
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} cannot be read") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ParseError) as error:
            raise Invalid(f"{file}: this is not the history of a workflow") from error
        if not _has_begun(history) or not _is_whole(history):
            raise Invalid(f"{file}: this is not a whole history; it lacks its beginning, or events within it")
        yield history


def _has_begun(history: WorkflowHistory) -> bool:
    """Whether a worker was ever asked for a step; the SDK's replayer waits for ever where none was."""
    return any(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for event in history.events)


def _is_whole(history: WorkflowHistory) -> bool:
    return all(event.event_id == number for number, event in enumerate(history.events, start=1))


def save(history: WorkflowHistory, folder: "Path") -> "Path":
    """Write a history into a folder, under a name made of its type and its run; one that is there stays.

    Raises ``Invalid`` for a folder that cannot be written.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type_of(history)).lower()
    # Whoever writes to the namespace names workflows, and may do so as a path.
    file = folder / f"{re.sub(r'[^a-z0-9-]', '_', words)}-{history.run_id}.json"
    try:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(history.to_json_dict(), indent=1) + "\n")
    except OSError as error:
        raise Invalid(f"{folder}: histories cannot be saved there: {error.strerror}") from error
    return file
