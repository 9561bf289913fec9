"""Nobody's name, number or address is in a log, a metric, a trace, or in what Temporal keeps."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.api.history.v1 import HistoryEvent

from sandbox.ports import free_port
from sandbox.sftp import SftpServer
from sandbox.sftp_users import SftpUser
from tests.integration.observability.doors import plant
from tests.integration.observability.keepings import kept, opened, readable
from tests.integration.observability.planted import (
    CARD,
    EMAIL,
    OTHER,
    PASSWORD,
    PERSON,
    PHONE,
    SSN,
    STREET,
    leaks,
)
from tests.integration.observability.stack import Stack

pytestmark = pytest.mark.timeout(300)
PROCESSES = ("api", "worker", "codec")


@pytest.fixture(scope="module")
async def planted(
    stack: Stack, module_database: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The stack after people came in by every door."""
    folder = tmp_path_factory.mktemp("sftp")
    key = folder / "keys" / "host_key"
    door = SftpServer(folder / "root", [SftpUser("acme", "demo")], host_key=key, port=free_port())
    await door.start()
    source = {
        "name": "inbox",
        "host": "127.0.0.1",
        "port": door.port,
        "username": "acme",
        "password": "demo",
        "host_key": door.host_key,
    }
    await stack.done("acme.admin", "POST", "/creditors", {"name": "House Credit", "is_default": True})
    await stack.done("acme.admin", "POST", "/sftp-sources", source)
    try:
        await plant(stack, door.root_of("acme") / "inbox", module_database.superuser_url)
        yield stack
    finally:
        await door.stop()


async def test_temporal_keeps_nobody_in_the_clear(planted: Stack) -> None:
    keepings = [one async for one in kept(planted.temporal)]
    assert leaks(keepings) == []
    everything = "\n".join(text for _, text in keepings)
    # The first is binary/encrypted, in base64 as metadata are.
    for sign in ("YmluYXJ5L2VuY3J5cHRlZA==", "database-refused", "reconciliation/", "import/"):
        assert sign in everything, f"looked in vain, there is no {sign}"


async def test_payloads_tell_of_people_only_what_a_command_says_in_words(planted: Stack) -> None:
    assert leaks([one async for one in opened(planted.temporal)]) == []


async def test_no_process_logs_people(planted: Stack) -> None:
    assert leaks((f"the log of {name}", planted.log(name)) for name in PROCESSES) == []
    events = {name: {one["event"] for one in planted.events(name)} for name in PROCESSES}
    assert {"request", "login refused"} <= events["api"]
    assert "activity refused" in events["worker"]
    assert {one["status"] for one in planted.events("api") if one["event"] == "request"} >= {
        200,
        401,
        422,
        500,
    }


async def test_no_metric_names_people(planted: Stack) -> None:
    told = [(f"the metrics of {name}", await planted.metrics(name)) for name in ("api", "worker")]
    assert leaks(told) == []
    assert 'recoup_import_rows_total{outcome="refused"}' in told[0][1]


async def test_no_span_tells_of_people(planted: Stack) -> None:
    assert leaks(("the span", MessageToJson(one.span)) for one in planted.collector.spans) == []
    assert "COPY" in {one.name.partition(" ")[0] for one in planted.collector.spans}
    failed = {one.name for one in planted.collector.spans if one.failed}
    assert {"POST /api/v1/debtors", "INSERT debtor"} <= failed


@pytest.mark.parametrize(
    "value", [PERSON, OTHER, SSN, "987654329", CARD, EMAIL, PHONE, "+12145550147", STREET, PASSWORD]
)
def test_whatever_is_planted_would_be_found(value: str) -> None:
    stored = HistoryEvent(event_id=1)
    failure = stored.workflow_execution_failed_event_attributes.failure
    failure.message = f"no such person: {value.upper()}"
    assert leaks([("here", json.dumps({"event": f"told {value}"}))]) != []
    assert leaks([("here", readable(stored))]) != []
    hidden = HistoryEvent(event_id=1)
    hidden.workflow_execution_started_event_attributes.memo.fields["who"].data = value.encode()
    assert leaks([("here", readable(hidden))]) != []
