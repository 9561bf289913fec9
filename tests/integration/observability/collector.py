"""A receiver of traces: OTLP over HTTP, as a collector takes it, that keeps what it is sent."""

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class Received:
    """A span, and which process sent it."""

    service: str
    span: Span

    @property
    def name(self) -> str:
        return str(self.span.name)

    @property
    def trace_id(self) -> str:
        return str(self.span.trace_id.hex())

    @property
    def failed(self) -> bool:
        return bool(self.span.status.code == Status.STATUS_CODE_ERROR)

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
            for one in self.span.attributes
        }


@dataclass
class Collector:
    """An ASGI application."""

    spans: list[Received] = field(default_factory=list)
    requests: int = 0

    def of(self, trace_id: str) -> list[Received]:
        """All spans of a trace, as they came."""
        return [one for one in self.spans if one.trace_id == trace_id]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value.string_value for pair in one.resource.attributes}
            for scoped in one.scope_spans:
                self.spans += [Received(told["service.name"], span) for span in scoped.spans]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
