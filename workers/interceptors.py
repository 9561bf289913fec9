"""What every activity has in common: its failures say what is wrong and quote nobody.

Histories and logs are read by people who may not read accounts. Messages of drivers and validators
quote rows, so only domain errors keep theirs, and no failure carries a cause.
"""

from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.exceptions import ApplicationErrorCategory as _Category
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import DomainError
from runtime.logging import failure

_log = structlog.get_logger()


class DomainErrorInterceptor(Interceptor):
    """Turns a ``DomainError`` into an ``ApplicationError`` with the same stable type.

    It is retried only where the error says that trying again may help. A refusal that is final is an
    answer like any other: benign, so that neither the SDK's log nor its metrics take it for a failure. Any
    other exception keeps its type only, is logged with where it arose, and is retried.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        with structlog.contextvars.bound_contextvars(
            workflow_id=info.workflow_id, activity=info.activity_type, attempt=info.attempt
        ):
            try:
                return await super().execute_activity(input)
            except DomainError as error:
                tell = _log.warning if error.retryable else _log.info
                tell("activity refused", error_type=error.type, retryable=error.retryable)
                raise ApplicationError(
                    error.message,
                    error.details,
                    type=error.type,
                    non_retryable=not error.retryable,
                    category=_Category.UNSPECIFIED if error.retryable else _Category.BENIGN,
                ) from None
            except FailureError:
                raise
            except Exception as error:  # noqa: BLE001 - nothing is swallowed: it fails the activity
                _log.error("activity failed", **failure(error))
                kind = type(error).__name__
                raise ApplicationError(f"{kind}; the worker's log says where", type=kind) from None
