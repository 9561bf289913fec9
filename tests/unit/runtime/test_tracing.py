"""Traces: nothing of it unless asked for, and in spans nothing but what may be told, values least of all."""

import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from runtime import tracing
from runtime.settings import Settings
from runtime.spans.callers import IdsOnly
from runtime.spans.export import provider
from runtime.spans.statements import statement_name
from sandbox.ports import free_port

OFF = """
import sys
from runtime import logging, temporal, tracing
from runtime.settings import Settings
settings = Settings(_env_file=None)
with tracing.traced(settings, "recoup-test"):
    assert tracing.interceptors(settings) == []
    assert tracing.cursor_factory(settings) is None
    assert tracing.log_processors(settings) == []
    assert not tracing.telemetry(settings)["tracing"]
loaded = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
assert not loaded, loaded
"""

AWAY = """
import os, time
from opentelemetry import trace
from runtime import tracing
from runtime.settings import Settings
tracing.LAST_SPANS_S = 0.2
with tracing.traced(Settings(_env_file=None, tracing=True), "recoup-test"):
    trace.get_tracer("test").start_span("lost").end()
    began = time.monotonic()
print(time.monotonic() - began, flush=True)
os._exit(0)
"""


@pytest.fixture
def sent() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(sent: InMemorySpanExporter) -> TracerProvider:
    return provider("recoup-test", "7", 1, sent)


def test_without_the_setting_none_of_it_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", OFF], check=True)


def test_what_is_not_known_to_be_harmless_is_left_out(
    spans: TracerProvider, sent: InMemorySpanExporter
) -> None:
    tracer = spans.get_tracer("test")
    told = {"url.query": "search=Ada", "http.route": "/accounts", "temporalWorkflowID": "account/1"}
    with (
        pytest.raises(ValueError, match="Ada"),
        tracer.start_as_current_span("GET /accounts", attributes=told),
    ):
        raise ValueError("Ada is at fault")
    spans.force_flush()
    [span] = sent.get_finished_spans()
    assert dict(span.attributes or {}) == {"http.route": "/accounts", "temporalWorkflowID": "account/1"}
    [event] = span.events
    assert dict(event.attributes or {}) == {"exception.type": "ValueError", "exception.escaped": "False"}
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert "Ada" not in span.to_json()


def test_the_process_is_named_and_the_variables_have_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=blue")
    named = provider("recoup-api", "7", 1, InMemorySpanExporter()).resource.attributes
    assert (named["service.name"], named["service.version"]) == ("recoup-api", "7")
    assert named["deployment.environment.name"] == "blue"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    other = provider("recoup-api", "7", 1, InMemorySpanExporter()).resource.attributes
    assert other["service.name"] == "ours"


def test_the_sample_is_of_traces_that_begin_here(sent: InMemorySpanExporter) -> None:
    none = provider("recoup-test", "7", 0, sent)
    tracer = none.get_tracer("test")
    carrier = {"traceparent": f"00-{7:032x}-{7:016x}-01"}
    tracer.start_span("here").end()
    tracer.start_span("elsewhere", context=IdsOnly().extract(carrier)).end()
    none.force_flush()
    assert [span.name for span in sent.get_finished_spans()] == ["elsewhere"]


def test_of_callers_only_ids_are_taken() -> None:
    carrier = {
        "traceparent": f"00-{7:032x}-{9:016x}-01",
        "tracestate": "vendor=Ada",
        "baggage": "name=Ada",
    }
    taken = IdsOnly().extract(carrier, getter=DefaultGetter())
    caller = trace.get_current_span(taken).get_span_context()
    assert (caller.trace_id, caller.span_id, bool(caller.trace_flags.sampled)) == (7, 9, True)
    handed_on: dict[str, Any] = {}
    IdsOnly().inject(handed_on, taken)
    assert handed_on == {"traceparent": carrier["traceparent"]}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT id FROM account WHERE id = $1", "SELECT account"),
        ("  insert into public.journal (id) VALUES (%s)", "INSERT public.journal"),
        ("WITH due AS (SELECT 1) UPDATE payment SET x = 1", "SELECT payment"),
        ("COPY staged_row (line) FROM STDIN", "COPY staged_row"),
        ("DELETE FROM ONLY hold", "DELETE hold"),
        ("SELECT 1", "SELECT"),
        ("VACUUM", "SQL"),
    ],
)
def test_a_statement_is_named_by_what_it_does_to_which_table(text: str, name: str) -> None:
    assert statement_name(text) == name


def test_the_end_of_a_process_does_not_wait_for_a_collector_that_is_away() -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-c", AWAY], check=True, env=environment, capture_output=True, text=True
    )
    assert float(done.stdout) < 8


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "runtime.spans.export", None)
    settings = Settings(_env_file=None, tracing=True)
    with pytest.raises(tracing.Invalid, match="install recoup\\[tracing\\]"), tracing.traced(settings, "x"):
        pass


def test_a_trace_is_named_in_logs_only_where_there_is_one(spans: TracerProvider) -> None:
    assert tracing.log_processors(Settings(_env_file=None)) == []
    [name] = tracing.log_processors(Settings(_env_file=None, tracing=True))
    assert name(None, "", {"event": "x"}) == {"event": "x"}
    with spans.get_tracer("test").start_as_current_span("here") as span:
        here = span.get_span_context()
        named = name(None, "", {"event": "x"})
    assert named == {"event": "x", "trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}"}


def test_psycopg_has_what_is_wrapped() -> None:
    """``TracedCursor`` overrides these by name."""
    assert {"execute", "executemany", "copy"} <= vars(psycopg.AsyncCursor).keys()
