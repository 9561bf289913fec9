"""Logs say where a failure arose, and quote nothing of it."""

import json
import logging
import sys
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from temporalio.service import RPCError, RPCStatusCode

from runtime.logging import configure_logging, failure
from runtime.metrics import HttpMetrics


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_one_json_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", as_json=True, process="worker")
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.stdlib.get_logger("api").info("request", status=200)
    logging.getLogger("elsewhere").warning("plain %s", "text")
    logging.getLogger("elsewhere").debug("too quiet")
    ours, theirs = _lines(capsys)
    assert (ours["event"], ours["status"], ours["request_id"]) == ("request", 200, "r-1")
    assert (ours["logger"], ours["level"], ours["process"]) == ("api", "info", "worker")
    assert (theirs["event"], theirs["logger"], theirs["process"]) == ("plain text", "elsewhere", "worker")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("loud")


def test_a_failure_is_told_without_its_message() -> None:
    def fail() -> None:
        try:
            raise KeyError("jane.doe@example.com")
        except KeyError as error:
            raise RuntimeError("ssn 1234") from error

    try:
        fail()
    except RuntimeError as error:
        told = failure(error)
    assert told["error"] == ["builtins.RuntimeError", "builtins.KeyError"]
    assert any("test_logging.py" in frame and frame.endswith(" fail") for frame in told["frames"])
    assert "jane" not in str(told)
    assert "1234" not in str(told["error"])


def test_a_failure_is_told_with_the_code_that_a_server_gave_it() -> None:
    refused = psycopg.errors.UniqueViolation("jane.doe@example.com")
    refused.__cause__ = RPCError("ssn 1234", RPCStatusCode.INTERNAL, b"")

    told = failure(refused)

    assert told["error"] == [
        "psycopg.errors.UniqueViolation (23505)",
        "temporalio.service.RPCError (INTERNAL)",
    ]


def test_metrics_do_not_grow_with_what_callers_invent() -> None:
    metrics = HttpMetrics()
    for method in ("GET", "BREW", "PROPFIND", sys.platform.upper()):
        metrics.observe(method, "/x", 200, 0.1)
    text = metrics.render().decode()
    assert 'recoup_http_requests_total{method="OTHER",route="/x",status="200"} 3.0' in text
    assert 'recoup_http_requests_total{method="GET",route="/x",status="200"} 1.0' in text


def test_what_libraries_log_of_exceptions_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", as_json=True)
    try:
        raise KeyError("jane.doe@example.com")
    except KeyError as error:
        caught = error
        logging.getLogger("temporalio.activity").warning("Completing activity as failed", exc_info=True)
        logging.getLogger("elsewhere").warning("here", exc_info=error)
        structlog.stdlib.get_logger("ours").exception("there")
    told = "Task exception was never retrieved\nfuture: <Task exception=KeyError('jane.doe@example.com')>"
    logging.getLogger("asyncio").error(told, exc_info=(KeyError, caught, None))
    lines = _lines(capsys)
    assert "jane.doe" not in json.dumps(lines)
    assert [line["exception"]["error"] for line in lines] == [["builtins.KeyError"]] * 4  # type: ignore[index]
    assert lines[0]["exception"]["frames"]  # type: ignore[index]
    assert lines[3]["event"] == "Task exception was never retrieved"
