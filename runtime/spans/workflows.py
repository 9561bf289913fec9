"""Spans of workflows and activities, by the SDK's interceptor, and the trace of an update's caller.

Spans in workflows are made outside of the sandbox and end at once, without a duration: a workflow may take
years, and what is replayed makes none. Only the header of a command tells of a trace, so that histories
recorded with and without replay alike.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry.trace import SpanKind, Tracer
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor

from runtime.spans.callers import IdsOnly

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from temporalio.worker import HandleUpdateInput, WorkflowInterceptorClassInput


class WorkflowTraces(TracingInterceptor):
    """For clients, and by them for their workers."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.text_map_propagator = IdsOnly()

    def workflow_interceptor_class(
        self,
        input: "WorkflowInterceptorClassInput",  # noqa: A002
    ) -> type[TracingWorkflowInboundInterceptor]:
        super().workflow_interceptor_class(input)
        return _InWorkflow


class _InWorkflow(TracingWorkflowInboundInterceptor):
    """An update belongs to the trace of who sent it.

    The SDK's has it in the trace of who started the workflow, with a link to the sender's; the workflow of
    an account may have been started years before.
    """

    def handle_update_validator(self, input: "HandleUpdateInput") -> None:  # noqa: A002
        sender = self._sender(input.headers)
        if sender is None:
            super().handle_update_validator(input)
            return
        with self._within(sender, f"ValidateUpdate:{input.update}"):
            self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: "HandleUpdateInput") -> Any:  # noqa: A002
        sender = self._sender(input.headers)
        if sender is None:
            return await super().handle_update_handler(input)
        with self._within(sender, f"HandleUpdate:{input.update}"):
            return await self.next.handle_update_handler(input)

    def _sender(self, headers: Mapping[str, Any]) -> "Context | None":
        header = headers.get(self.header_key)
        if header is None:
            return None
        [carrier] = self.payload_converter.from_payloads([header])
        return self._set_on_context(self.text_map_propagator.extract(carrier))

    @contextmanager
    def _within(self, sender: "Context", name: str) -> Iterator[None]:
        token = contexts.attach(sender)
        try:
            self._completed_span(
                name, link_context_carrier=self._load_workflow_context_carrier(), kind=SpanKind.SERVER
            )
            yield
        finally:
            _detach(sender, token)


def _detach(context: "Context", token: Any) -> None:
    """Unless this is another place: what an evicted workflow left open, the collector closes anywhere."""
    if contexts.get_current() is context:
        contexts.detach(token)
