"""Histories replay alike with traces and without, and what is replayed makes no spans."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadConverter
from temporalio.worker import Replayer

from runtime.spans.callers import IdsOnly
from runtime.spans.export import provider
from runtime.spans.workflows import WorkflowTraces
from runtime.temporal import DATA_CONVERTER
from tests.replay.test_replay import HISTORIES, history_of
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS

UNFINISHED = frozenset({"payment-plan-waiting"})
"""Histories that end before the task in which the last of them was dealt with."""

KEPT = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def within_a_trace(text: str) -> WorkflowHistory:
    """A history as if its workflow had been started by a request that is traced."""
    carrier: dict[str, str] = {}
    IdsOnly().inject(carrier, set_span_in_context(NonRecordingSpan(KEPT)))
    [header] = PayloadConverter.default.to_payloads([carrier])
    history = history_of(text)
    started = history.events[0].workflow_execution_started_event_attributes
    started.header.fields["_tracer-data"].CopyFrom(header)
    return history


@pytest.mark.parametrize("name", sorted(HISTORIES))
async def test_a_history_replays_with_traces_and_makes_no_spans(name: str) -> None:
    sent = InMemorySpanExporter()
    spans = provider("recoup-test", "7", 1, sent)
    replayer = Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        data_converter=DATA_CONVERTER,
        interceptors=[WorkflowTraces(spans.get_tracer("test"))],
    )
    history = within_a_trace(HISTORIES[name])
    await replayer.replay_workflow(history)
    spans.force_flush()
    made = {span.name for span in sent.get_finished_spans()}
    # What had come in and nobody had dealt with yet is new.
    assert made == ({"HandleSignal:changed", "StartActivity:plans.advance"} if name in UNFINISHED else set())
