"""What a workflow has told the server to do, out of its history: a line for each command.

Names of steps, queues, timers, children and updates; no ids, payloads or moments. A length of time is told in
whole units, so that it does not depend on how quick the run was.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_PATCHED = "TemporalChangeVersion"
"""A search attribute that the SDK sets with each patch."""


def commands_of(history: WorkflowHistory) -> list[str]:
    """The commands in their order."""
    return list(_Reader(history).lines())


class _Reader:
    def __init__(self, history: WorkflowHistory) -> None:
        self._events = history.events
        self._by_id = {event.event_id: event for event in history.events}
        self._updates: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        for event in self._events:
            name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
            told: Callable[[HistoryEvent], str | None] | None = getattr(self, f"_{name}", None)
            if told is not None and (line := told(event)) is not None:
                yield line

    def _activity_task_scheduled(self, event: HistoryEvent) -> str:
        step = event.activity_task_scheduled_event_attributes
        return f"activity {step.activity_type.name} on {step.task_queue.name}"

    def _activity_task_cancel_requested(self, event: HistoryEvent) -> str:
        of = event.activity_task_cancel_requested_event_attributes.scheduled_event_id
        return f"cancel {self._activity_task_scheduled(self._by_id[of])}"

    def _timer_started(self, event: HistoryEvent) -> str:
        return f"timer of {_length(event.timer_started_event_attributes.start_to_fire_timeout)}"

    def _timer_canceled(self, event: HistoryEvent) -> str:
        of = event.timer_canceled_event_attributes.started_event_id
        return f"cancel {self._timer_started(self._by_id[of])}"

    def _start_child_workflow_execution_initiated(self, event: HistoryEvent) -> str:
        child = event.start_child_workflow_execution_initiated_event_attributes
        return f"child {child.workflow_type.name} on {child.task_queue.name}"

    def _signal_external_workflow_execution_initiated(self, event: HistoryEvent) -> str:
        name = event.signal_external_workflow_execution_initiated_event_attributes.signal_name
        return f"signal {name} to another workflow"

    def _request_cancel_external_workflow_execution_initiated(self, _: HistoryEvent) -> str:
        return "cancel another workflow"

    def _upsert_workflow_search_attributes(self, event: HistoryEvent) -> str | None:
        fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        names = sorted(set(fields) - {_PATCHED})
        return f"search attributes {', '.join(names)}" if names else None

    def _workflow_properties_modified(self, _: HistoryEvent) -> str:
        return "memo"

    def _marker_recorded(self, event: HistoryEvent) -> str:
        marker = event.marker_recorded_event_attributes
        details: dict[str, Any] = {}
        for payloads in marker.details.values():
            details |= json.loads(payloads.payloads[0].data)
        if marker.marker_name == "core_local_activity":
            return f"local activity {details['activity_type']}"
        if marker.marker_name == "core_patch":
            return f"patch {details['id']}{' (deprecated)' if details['deprecated'] else ''}"
        return f"marker {marker.marker_name}"

    def _workflow_execution_update_accepted(self, event: HistoryEvent) -> str:
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        self._updates[request.meta.update_id] = request.input.name
        return f"update {request.input.name} accepted"

    def _workflow_execution_update_completed(self, event: HistoryEvent) -> str:
        done = event.workflow_execution_update_completed_event_attributes
        failure = done.outcome.failure
        ended = f"failed: {failure.application_failure_info.type}" if failure.message else "completed"
        return f"update {self._updates[done.meta.update_id]} {ended}"

    def _workflow_execution_completed(self, _: HistoryEvent) -> str:
        return "completed"

    def _workflow_execution_failed(self, event: HistoryEvent) -> str:
        failure = event.workflow_execution_failed_event_attributes.failure
        return f"failed: {failure.application_failure_info.type}"

    def _workflow_execution_canceled(self, _: HistoryEvent) -> str:
        return "canceled"

    def _workflow_execution_continued_as_new(self, event: HistoryEvent) -> str:
        again = event.workflow_execution_continued_as_new_event_attributes
        return f"continued as new: {again.workflow_type.name}"


def _length(duration: Duration) -> str:
    seconds = duration.ToTimedelta() / timedelta(seconds=1)
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size * 0.95), _UNITS[-1])
    return f"{round(seconds / size)} {unit}"
