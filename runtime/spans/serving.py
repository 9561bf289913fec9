"""A span for every HTTP request, named by its route.

Of our own: OpenTelemetry's middleware records paths, queries and addresses of callers, all of which may
tell of people.
"""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.spans.names import ERROR, METHOD, REQUEST_ID, ROUTE, STATUS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNTRACED = frozenset({"/health/live", "/health/ready", "/metrics"})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_REQUEST_ID = b"x-request-id"
_TRACEPARENT = "traceparent"
# No baggage: it would be written into the histories of workflows as callers gave it.
_propagator = TraceContextTextMapPropagator()


class _Headers(Getter[Any]):
    """Of a scope only ``traceparent``, which holds ids; ``tracestate`` is free text of callers."""

    def get(self, carrier: Any, key: str) -> list[str] | None:
        if key != _TRACEPARENT:
            return None
        found = [value.decode("latin-1") for name, value in carrier["headers"] if name == key.encode()]
        return found or None

    def keys(self, carrier: Any) -> list[str]:
        return [_TRACEPARENT]


_headers = _Headers()


class TracedApp:
    """An ASGI application whose requests are spans, in the trace of ``traceparent`` where there is one."""

    def __init__(self, app: "ASGIApp", tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        with self._tracer.start_as_current_span(
            method,
            context=_propagator.extract(scope, getter=_headers),
            kind=SpanKind.SERVER,
            attributes={METHOD: method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            await self._serve(span, method, scope, receive, send)

    async def _serve(
        self, span: Span, method: str, scope: "Scope", receive: "Receive", send: "Send"
    ) -> None:
        async def told(message: "Message") -> None:
            if message["type"] == "http.response.start":
                _tell_answer(span, message)
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            span.set_attribute(ERROR, type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            # Known only now: the template, never the path itself.
            route = getattr(scope.get("route"), "path_format", None)
            if route:
                span.update_name(f"{method} {route}")
                span.set_attribute(ROUTE, route)


def _tell_answer(span: Span, message: "Message") -> None:
    status = message["status"]
    span.set_attribute(STATUS, status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)
    for name, value in message["headers"]:
        if name.lower() == _REQUEST_ID:
            span.set_attribute(REQUEST_ID, value.decode("latin-1"))


def ids_of_current() -> dict[str, str]:
    """Trace and span that the caller is in, in hexadecimal; nothing where it is in none."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(here.trace_id), "span_id": trace.format_span_id(here.span_id)}
