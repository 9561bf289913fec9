"""What a failed activity tells Temporal."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from domain.errors import Conflict, Unavailable
from workers.interceptors import DomainErrorInterceptor

PERSON = "John Q. Public"


class _Failing(ActivityInboundInterceptor):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        raise self._error


async def _failure_of(error: Exception) -> ApplicationError:
    translating = DomainErrorInterceptor().intercept_activity(_Failing(error))

    async def run() -> None:
        await translating.execute_activity(ExecuteActivityInput(fn=run, args=(), executor=None, headers={}))

    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(run)
    return caught.value


async def test_a_domain_error_keeps_its_words_type_and_whether_to_retry() -> None:
    away = await _failure_of(Unavailable("the server is away", place="sftp"))
    assert (away.message, away.type, away.non_retryable) == ("the server is away", "unavailable", False)
    assert away.details == ({"place": "sftp"},)
    final = await _failure_of(Conflict("already there"))
    assert (final.type, final.non_retryable) == ("conflict", True)


async def test_a_final_refusal_is_an_answer_not_a_failure() -> None:
    with capture_logs() as logs:
        final = await _failure_of(Conflict(f"{PERSON} has promised"))
        passing = await _failure_of(Unavailable("the server is away"))
    assert [failure.category for failure in (final, passing)] == [
        ApplicationErrorCategory.BENIGN,
        ApplicationErrorCategory.UNSPECIFIED,
    ]
    assert [(entry["log_level"], entry["error_type"]) for entry in logs] == [
        ("info", "conflict"),
        ("warning", "unavailable"),
    ]
    assert PERSON not in str(logs)


async def test_no_failure_quotes_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    unexpected = await _failure_of(ValueError(f"bad row: {PERSON}"))
    assert (unexpected.type, unexpected.non_retryable) == ("ValueError", False)
    caused = Unavailable("the database does not answer")
    caused.__cause__ = ValueError(f"COPY, line 7: {PERSON}")
    for told in (unexpected, await _failure_of(caused)):
        assert PERSON not in str(told)
        assert told.__cause__ is None
    out, err = capsys.readouterr()
    assert PERSON not in out + err
