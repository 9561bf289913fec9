"""How long the steps of a workflow took, as the Temporal server recorded it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle


@dataclass(frozen=True, slots=True)
class Span:
    """One activity from its scheduling to its completion; ``summary`` is what the Web UI shows."""

    activity: str
    summary: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class History:
    """When a workflow began and what its activities took."""

    began: datetime
    spans: tuple[Span, ...]

    def seconds(self, activity: str, summary: str = "") -> float:
        """Wall time from the first to the last of these activities; 0 when there were none."""
        return wall(span for span in self.spans if span.activity == activity and summary in span.summary)


def wall(spans: Iterable[Span]) -> float:
    """Seconds from the first beginning to the last end."""
    chosen = list(spans)
    if not chosen:
        return 0.0
    return (max(s.ended for s in chosen) - min(s.began for s in chosen)).total_seconds()


async def history(handle: "WorkflowHandle[Any, Any]") -> History:
    """Read the history of a workflow, running or closed."""
    began: datetime | None = None
    scheduled: dict[int, tuple[str, str, datetime]] = {}
    spans = []
    async for event in handle.fetch_history_events():
        at = event.event_time.ToDatetime(UTC)
        began = began or at
        if event.HasField("activity_task_scheduled_event_attributes"):
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            scheduled[event.event_id] = (name, event.user_metadata.summary.data.decode(), at)
        elif event.HasField("activity_task_completed_event_attributes"):
            of = event.activity_task_completed_event_attributes.scheduled_event_id
            spans.append(Span(*scheduled[of], at))
    if began is None:
        raise RuntimeError(f"the workflow {handle.id} has no history")
    return History(began, tuple(spans))
