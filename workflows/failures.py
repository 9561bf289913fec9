"""What lies beneath a failed activity, and domain errors as Temporal carries them."""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from domain.errors import DomainError

DRAINING = "Draining"
"""A run that takes no more commands: the next one does, so send it again with the same id."""

CANCELLED = "somebody has cancelled it"
"""Why something ended whose workflow was cancelled, as in Temporal's own pages."""


@contextmanager
def told_to_the_caller() -> Iterator[None]:
    """In a validator or handler of an update: what the domain refuses fails the update, not the workflow."""
    try:
        yield
    except DomainError as error:
        raise ApplicationError(error.message, error.details, type=error.type, non_retryable=True) from None


def cause_of(error: ActivityError) -> ApplicationError:
    """The application error that made an activity fail, or one that tells of its timeout or cancellation."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause
        cause = cause.__cause__
    told = CANCELLED if is_cancelled_exception(error) else str(error)
    return ApplicationError(told, type="activity-failed", non_retryable=True)


def was_refused(error: ActivityError) -> bool:
    """Whether an activity has said no for good: what timed out may have been done, or be done later."""
    return isinstance(error.cause, ApplicationError) and error.cause.non_retryable
