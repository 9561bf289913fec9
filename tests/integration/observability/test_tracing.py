"""A trace leads from a request through its workflow and activities to the SQL that they send."""

import secrets
from pathlib import Path
from uuid import UUID, uuid4

from temporalio.client import Client
from temporalio.worker import Replayer

from runtime.side_server import serving_beside
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from tests.command_line import CommandLine
from tests.integration.api.conftest import World
from tests.integration.observability.collector import Collector, Received
from tests.integration.observability.stack import Stack, environment, running
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS
from workflows.queues import account_workflow_id


def new_trace() -> tuple[str, str]:
    """A trace that a caller has begun: its id, and the header that tells of it."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-01"


async def spans_of(stack: Stack, trace_id: str, *names: str) -> list[Received]:
    """The spans of a trace, once these are among them."""

    async def there() -> bool:
        return set(names) <= {one.name for one in stack.collector.of(trace_id)}

    await until(there, within_s=60, what=f"the spans {names} of {trace_id}")
    return stack.collector.of(trace_id)


def above(span: Received, spans: list[Received]) -> list[str]:
    """The names of what a span is part of, the nearest first."""
    by_id = {one.span.span_id: one for one in spans}
    names = []
    while parent := by_id.get(span.span.parent_span_id):
        names.append(parent.name)
        span = parent
    return names


async def placed(stack: Stack) -> str:
    body = {
        "external_ref": uuid4().hex,
        "original_amount": "100.00",
        "debtor": {"full_name": "Ada Lovelace", "debtor_ref": uuid4().hex},
    }
    return str((await stack.done("acme.admin", "POST", "/accounts", body))["id"])


async def test_a_payment_is_one_trace_from_the_request_to_the_sql(stack: Stack) -> None:
    account = await placed(stack)
    trace_id, traceparent = new_trace()
    body = {
        "account_id": account,
        "amount": "10.00",
        "currency": "USD",
        "method": "cash",
        "idempotency_key": uuid4().hex,
    }
    answer = await stack.call("acme.admin", "POST", "/payments", body, traceparent=traceparent)
    assert answer.status_code == 201, answer.text
    asked, ended = "POST /api/v1/payments", "CompleteWorkflow:PaymentProcess"
    spans = await spans_of(stack, trace_id, asked, ended, "RunActivity:ledger.record_received")
    begun = ["StartUpdateWithStartWorkflow:PaymentProcess", asked]
    assert {one.name: above(one, spans) for one in spans if one.name.startswith(("RunW", "HandleU"))} == {
        "RunWorkflow:PaymentProcess": begun,
        "HandleUpdate:first_answer": begun,
    }
    steps = ["RunActivity:ledger.record_received", "StartActivity:ledger.record_received", *begun]
    statements = [(one.name, above(one, spans)) for one in spans if "db.query.text" in one.attributes]
    assert ("INSERT command", [asked]) in statements
    assert ("INSERT journal", steps) in statements
    assert {one.service for one in spans} == {"recoup-api", "recoup-worker"}
    [server] = [one for one in spans if one.name == asked]
    assert server.attributes["http.route"] == "/api/v1/payments"
    [logged] = [one for one in stack.events("api") if one.get("trace_id") == trace_id]
    assert (logged["event"], logged["request_id"]) == ("request", answer.headers["X-Request-ID"])


async def test_a_command_to_an_account_that_runs_is_in_the_trace_of_its_own_request(stack: Stack) -> None:
    """Not in that of the request with which its workflow began."""
    account = await placed(stack)
    traces = []
    for path, body in (
        ("transition", {"new_status": "assigned"}),
        ("transition", {"new_status": "in_contact"}),
        ("transition", {"new_status": "settled"}),
    ):
        trace_id, traceparent = new_trace()
        answer = await stack.call(
            "acme.admin", "POST", f"/accounts/{account}/{path}", body, traceparent=traceparent
        )
        traces.append((trace_id, answer.status_code))
    _, (second, allowed), (refused, status) = traces
    assert (allowed, status) == (200, 409)
    asked = "POST /api/v1/accounts/{account_id}/transition"
    step = "RunActivity:accounts.transition"
    spans = await spans_of(stack, second, asked, step)
    [activity] = [one for one in spans if one.name == step]
    assert above(activity, spans) == [
        "StartActivity:accounts.transition",
        "StartUpdateWithStartWorkflow:AccountLifecycle",
        asked,
    ]
    [handled] = [one for one in spans if one.name == "HandleUpdate:transition"]
    [begun] = [link.trace_id.hex() for link in handled.span.links]
    assert begun != second
    await spans_of(stack, refused, asked)
    history = await stack.temporal.get_workflow_handle(account_workflow_id(UUID(account))).fetch_history()
    untraced = Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        data_converter=stack.temporal.data_converter,
    )
    await untraced.replay_workflow(history)


async def test_who_begins_a_trace_says_whether_it_is_kept_and_probes_are_none(stack: Stack) -> None:
    left_out, traceparent = new_trace()
    await stack.call("acme.admin", "GET", "/accounts", traceparent=traceparent.removesuffix("01") + "00")
    answer = await stack.call("acme.admin", "GET", "/accounts?search=Lovelace")
    asked_as = answer.headers["X-Request-ID"]

    async def there() -> bool:
        events = [one for one in stack.events("api") if one.get("request_id") == asked_as]
        spans = [one.name for event in events for one in stack.collector.of(event["trace_id"])]
        return "GET /api/v1/accounts" in spans

    await until(there, within_s=60, what="a trace of the product's own")
    assert stack.collector.of(left_out) == []
    routes = {one.attributes.get("http.route") for one in stack.collector.spans}
    assert not routes & {"/health/live", "/health/ready", "/metrics"}


async def test_nothing_is_sent_where_no_traces_are_asked_for(
    world: World,
    temporal_client: Client,
    running_stripe: StripeServer,
    command_line: CommandLine,
    tmp_path: Path,
) -> None:
    """Though OpenTelemetry's own variables are set, FastAPI's included."""
    collector, port = Collector(), free_port()
    settings = environment(world, temporal_client, running_stripe, port, tmp_path)
    settings |= {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_TRACES_EXPORTER": "otlp"}
    async with serving_beside(collector, "127.0.0.1", port):
        async with running(command_line, tmp_path, settings) as ports:
            quiet = Stack(world, temporal_client, collector, tmp_path, ports)
            account = await placed(quiet)
            body = {"new_status": "assigned"}
            _, traceparent = new_trace()
            path = f"/accounts/{account}/transition"
            answer = await quiet.call("acme.admin", "POST", path, body, traceparent=traceparent)
            assert answer.status_code == 200, answer.text
        assert collector.requests == 0
    assert "trace_id" not in quiet.log("api") + quiet.log("worker")
