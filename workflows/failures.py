"""What lies beneath a failed activity."""

from temporalio.exceptions import ActivityError, ApplicationError


def cause_of(error: ActivityError) -> ApplicationError:
    """The application error that made an activity fail, or one that tells of its timeout."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause
        cause = cause.__cause__
    return ApplicationError(str(error), type="activity-failed", non_retryable=True)
