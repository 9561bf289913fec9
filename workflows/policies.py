"""Named timeouts and retry policies; an activity call names one and adds nothing inline.

A database step is short and tried for as long as the database may be away; a bulk step lives on its
heartbeat. Domain errors that trying again cannot mend arrive as non-retryable (see
``workers.interceptors``), so no policy lists them.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy


class ActivityPolicy(TypedDict, total=False):
    """The keyword arguments of ``workflow.execute_activity`` that a policy decides."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


class LocalActivityPolicy(TypedDict, total=False):
    """The keyword arguments of ``workflow.execute_local_activity`` that a policy decides."""

    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


_PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=30),
)

DB_READ: ActivityPolicy = {"start_to_close_timeout": timedelta(seconds=15), "retry_policy": _PATIENT}
DB_WRITE: ActivityPolicy = {"start_to_close_timeout": timedelta(seconds=30), "retry_policy": _PATIENT}

DB_WRITE_AT_ONCE: LocalActivityPolicy = {
    "schedule_to_close_timeout": timedelta(seconds=5),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
"""A database step within the workflow's own task, which must end within ten seconds: tried once."""

ACCOUNT_STEP: ActivityPolicy = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_close_timeout": timedelta(minutes=2),
    "retry_policy": _PATIENT,
}
"""A step of an account's lifecycle, which does one thing at a time: given up after a while, so that one step
that never succeeds does not keep all others waiting. A command is then sent again by who wants it."""

STRIPE_CALL: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=6),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=2)
    ),
}
"""A step at the payment provider, of at most four requests (80 s each): tried for as long as it is away. Its
worker may die in the middle of it, so it shows that it lives."""

BULK_STEP: ActivityPolicy = {
    "start_to_close_timeout": timedelta(hours=6),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
    ),
}
"""Minutes of work with a checkpoint in the database: resumed, not repeated."""

ADMISSION: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=5),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": _PATIENT,
}
"""Some dozens of workflow starts, or some hundreds of signals."""

REMOTE_FILES: ActivityPolicy = {
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=1),
        maximum_attempts=8,
    ),
}
"""A look at a creditor's server: given up after a few minutes, for the next poll comes anyway."""

REMOTE_MOVE: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=2), backoff_coefficient=2, maximum_interval=timedelta(minutes=10)
    ),
}
"""Putting a finished file away: tried until it works, however long the server is gone."""

INBOX_STEP: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=5),
    "schedule_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": _PATIENT,
}
"""What a provider has told us is looked up there: given up after a while, for a sweep tries it again."""

FIGURES: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=10),
    "schedule_to_close_timeout": timedelta(minutes=15),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": _PATIENT,
}
"""Counting everything of an agency: given up after a while, for the next time it is counted anew anyway."""

PARTITIONS: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=1),
    "schedule_to_close_timeout": timedelta(hours=12),
    "retry_policy": _PATIENT,
}
"""Partitions made ahead, which may have to wait for a migration: given up before the next day's run."""

RECONCILIATION_STEP: ActivityPolicy = {
    "start_to_close_timeout": timedelta(hours=1),
    "schedule_to_close_timeout": timedelta(minutes=50),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": _PATIENT,
}
"""A walk through the provider's lists: given up before the next run is due, which looks back as far."""

PARTNER_WORD: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=5),
    "schedule_to_close_timeout": timedelta(days=3),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=2), backoff_coefficient=2, maximum_interval=timedelta(minutes=30)
    ),
}
"""Word to a partner about one break: tried for three days, then it is people's turn."""

PARTNER_DELIVERY: ActivityPolicy = {
    "start_to_close_timeout": timedelta(minutes=5),
    "schedule_to_close_timeout": timedelta(hours=12),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=10)
    ),
}
"""A batch for a partner, who may be away for a night: then it is given up, for all to see."""

EXPORT: ActivityPolicy = {
    "start_to_close_timeout": timedelta(hours=2),
    "schedule_to_close_timeout": timedelta(hours=12),
    "heartbeat_timeout": timedelta(seconds=20),
    "retry_policy": _PATIENT,
}
"""A list written into a file, from its first row on at every attempt: given up after half a day."""
