"""Traces of a process, from the HTTP request through workflows to activities and SQL, if asked for.

Without ``RECOUP_TRACING`` none of OpenTelemetry is loaded, and nothing is wrapped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from domain.errors import Invalid

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from psycopg import AsyncCursor
    from structlog.typing import EventDict, Processor
    from temporalio.client import Interceptor

    from runtime.settings import Settings

LAST_SPANS_S = 3.0
"""How long the end of a process waits for its last spans to be sent."""

_UNTRACED = frozenset({"/health/live", "/health/ready", "/metrics"})
UNRECORDED: "TelemetryConfig" = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope.get("path") in _UNTRACED,
}
"""FastAPI records nothing, whatever variables of its own say: its logs quote what validators refuse."""


@contextmanager
def traced(settings: "Settings", service: str) -> Iterator[None]:
    """Send the spans of this process, as ``service``, for as long as the block runs; once per process.

    Where to, the variables of OpenTelemetry say: ``OTEL_EXPORTER_OTLP_ENDPOINT`` and its like. ``Invalid``
    when its packages are not installed.
    """
    if not settings.tracing:
        yield
        return
    try:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - only where it is wanted

        from runtime.spans.callers import IdsOnly  # noqa: PLC0415
        from runtime.spans.export import provider  # noqa: PLC0415
    except ImportError as error:
        raise Invalid(
            f"RECOUP_TRACING needs the packages of the extra 'tracing': {error.name} is not installed;"
            " install recoup[tracing], or set RECOUP_TRACING=false"
        ) from error
    made = provider(service, settings.build_id, settings.tracing_sample)
    propagate.set_global_textmap(IdsOnly())
    trace.set_tracer_provider(made)
    try:
        yield
    finally:
        # With no collector there the SDK tries again and again, which no end of a process waits for.
        last = Thread(target=made.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(LAST_SPANS_S)


def interceptors(settings: "Settings") -> "list[Interceptor]":
    """What a client of Temporal needs, and by it its workers."""
    if not settings.tracing:
        return []
    from opentelemetry import trace  # noqa: PLC0415

    from runtime.spans.workflows import WorkflowTraces  # noqa: PLC0415

    return [WorkflowTraces(trace.get_tracer("recoup.temporal"))]


def cursor_factory(settings: "Settings") -> "type[AsyncCursor[Any]] | None":
    """The cursor of the database's connections; None for the driver's own."""
    if not settings.tracing:
        return None
    from runtime.spans.statements import TracedCursor  # noqa: PLC0415

    return TracedCursor


def telemetry(settings: "Settings") -> "TelemetryConfig":
    """What FastAPI is told to record by itself: a span around each request, if anything."""
    return {**UNRECORDED, "tracing": settings.tracing}


def log_processors(settings: "Settings") -> "list[Processor]":
    """What names the trace and span in events of structlog."""
    if not settings.tracing:
        return []
    # At once: an event may arise in a workflow's sandbox, where nothing more is to be loaded.
    from runtime.spans.callers import ids_of_current  # noqa: PLC0415

    def name_trace(_: Any, __: str, event: "EventDict") -> "EventDict":
        event.update(ids_of_current())
        return event

    return [name_trace]
