"""Commands to accounts, on their way to the accounts' workflows and back."""

import asyncio
import hashlib
from datetime import timedelta

import structlog
from temporalio.api.errordetails.v1 import MultiOperationExecutionFailure
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from activities.account_messages import AccountCommand, CommandIdentity, Done
from domain.errors import Unavailable
from services.failures import application_error, domain_error
from services.lifecycle_start import lifecycle_input, start_options
from services.with_start import seen
from workflows.accounts import AccountLifecycle
from workflows.failures import DRAINING

_log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

PASSING_FAILURES = frozenset({DRAINING, "AcceptedUpdateCompletedWorkflow"})
"""What a lifecycle says when it continues in another run, or ended while the command was on its way."""

_AWAY = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})

_FINAL = frozenset(
    {
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.OUT_OF_RANGE,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.UNIMPLEMENTED,
    }
)
"""What no repetition changes. All else passes: too many commands to one account at once, a lifecycle that
ended or was started by another command just then, for which the server has several words."""


def update_id(identity: CommandIdentity, version: int) -> str:
    """The same for the same command to an account of this version: sent twice, it is one update.

    Temporal keeps what an update came to as long as its run goes on, a refusal, too. Once the account has
    changed, a command that was refused is judged anew; one that was carried out is found by its key.
    """
    parts = (identity.operation, identity.key, identity.body_hash, str(version))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class LifecycleCommander:
    """Has commands carried out by ``AccountLifecycle``, which is started where it does not run.

    ``patience``: how long a caller is kept waiting.
    """

    def __init__(self, client: Client, patience: timedelta) -> None:
        self._client = client
        self._patience = patience

    async def carry_out(
        self, update: str, command: AccountCommand, *, priority: int, status: str, version: int
    ) -> Done:
        """Send ``command`` to the account's update ``update`` and wait until it was carried out.

        ``priority`` (0–3), ``status`` and ``version`` are the account's. Raises the domain error with which
        it was refused, and ``Unavailable`` when nobody answered in time: it may be carried out all the
        same, and is found by its key when it is sent again.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception(_passes),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            before_sleep=_tell_of_repetition,
            reraise=True,
        )
        sent_as = update_id(command.identity, version)
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                return await attempts(self._send, update, command, sent_as, priority, status)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            raise _no_answer() from None
        except RPCError as error:
            if not _is_away(error):
                raise
            raise _no_answer() from error
        except WorkflowUpdateFailedError as error:
            failed = application_error(error)
            refusal = failed and domain_error(failed)
            if refusal is None:
                raise
            raise refusal from None

    async def _send(
        self, update: str, command: AccountCommand, sent_as: str, priority: int, status: str
    ) -> Done:
        ref = command.account
        start = WithStartWorkflowOperation(
            AccountLifecycle.run,
            lifecycle_input(ref, by_command=True),
            **start_options(ref, priority, status),
        )
        try:
            done: Done = await self._client.execute_update_with_start_workflow(
                update,
                command,
                start_workflow_operation=start,
                id=sent_as,
                result_type=Done,
            )
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowAlreadyStartedError):
            await seen(start)
            raise
        return done


def _passes(error: BaseException) -> bool:
    if isinstance(error, RPCError):
        return error.status not in _FINAL and not _is_away(error)
    if isinstance(error, WorkflowAlreadyStartedError):
        return True
    if isinstance(error, WorkflowUpdateFailedError):
        failed = application_error(error)
        return failed is not None and failed.type in PASSING_FAILURES
    return False


def _is_away(error: RPCError) -> bool:
    """Whether nobody answers; a server that says so of one update, which it has aborted, is there itself."""
    details = error.grpc_status.details
    of_an_update = bool(details) and details[0].Is(MultiOperationExecutionFailure.DESCRIPTOR)
    return error.status in _AWAY and not of_an_update


def _tell_of_repetition(attempt: RetryCallState) -> None:
    error = attempt.outcome.exception() if attempt.outcome else None
    status = error.status.name if isinstance(error, RPCError) else type(error).__name__
    _log.info("a command is sent again", attempt=attempt.attempt_number, status=status)


def _no_answer() -> Unavailable:
    return Unavailable(
        "the account's workflow did not answer in time; the command may still be carried out: send it again"
        " with the same Idempotency-Key and you get its answer, or without one look at the account first",
        retry_after_s=RETRY_AFTER_S,
    )
