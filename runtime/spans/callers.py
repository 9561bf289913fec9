"""What is taken from callers who have begun a trace: its ids, by ``traceparent``."""

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.context import Context


class IdsOnly(TraceContextTextMapPropagator):
    """W3C Trace Context without ``tracestate``, and no baggage.

    Both are free text of callers, and would be written into the histories of workflows as they gave it.
    """

    def extract(
        self,
        carrier: CarrierT,
        context: "Context | None" = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> "Context":
        """The caller's span, as that which is current."""
        found = super().extract(carrier, context, getter)
        caller = trace.get_current_span(found).get_span_context()
        if not caller.trace_state:
            return found
        ids = SpanContext(caller.trace_id, caller.span_id, is_remote=True, trace_flags=caller.trace_flags)
        return trace.set_span_in_context(NonRecordingSpan(ids), found)


def ids_of_current() -> dict[str, str]:
    """Trace and span that the caller is in, in hexadecimal; nothing where it is in none."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(here.trace_id), "span_id": trace.format_span_id(here.span_id)}
