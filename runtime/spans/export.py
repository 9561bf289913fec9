"""Where spans go: over OTLP, and nothing in them but what may be told."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Status

from runtime.spans.names import TELLABLE, TELLABLE_OF_EVENTS


def provider(
    service: str, version: str, share: float, exporter: SpanExporter | None = None
) -> TracerProvider:
    """What makes spans of a process and sends them off.

    ``share``: which part of the traces that begin here is kept, 0 to 1; what others began is kept as they
    decided. ``exporter``: by default OTLP over HTTP, as the variables ``OTEL_EXPORTER_OTLP_…`` say.
    """
    process = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version})
    made = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
        resource=process.merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
    )
    made.add_span_processor(BatchSpanProcessor(Discreet(exporter or OTLPSpanExporter())))
    return made


class Discreet(SpanExporter):
    """Leaves out of spans whatever is not known to be free of personal data, and hands on the rest.

    Instrumentations add attributes from version to version, and record the messages of exceptions.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand on the spans."""
        return self._exporter.export([_tellable(span) for span in spans])

    def shutdown(self) -> None:
        """End, at once."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send what was not sent yet."""
        return self._exporter.force_flush(timeout_millis)


def _tellable(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_kept(span.attributes, TELLABLE),
        events=[
            Event(event.name, _kept(event.attributes, TELLABLE_OF_EVENTS), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept(attributes: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in names}
