"""What every activity has in common: domain errors become Temporal failures, and are logged."""

from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import DomainError

_log = structlog.get_logger()


class DomainErrorInterceptor(Interceptor):
    """Turns a ``DomainError`` into an ``ApplicationError`` with the same stable type.

    It is retried only where the error says that trying again may help.
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
                _log.warning("activity refused", error_type=error.type, retryable=error.retryable)
                raise ApplicationError(
                    error.message, error.details, type=error.type, non_retryable=not error.retryable
                ) from error
