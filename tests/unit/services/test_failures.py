"""Failures that come back from workflows are the domain errors that they were."""

from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from activities.account_messages import CommandIdentity
from domain.accounts import AccountStatus, IllegalMove, check_move
from domain.errors import Conflict, DomainError, Invalid, KeyReused, NotFound, Unavailable
from services.failures import application_error, domain_error
from services.lifecycle_commands import update_id


def carried(error: DomainError) -> ApplicationError:
    """A domain error as Temporal carries it."""
    return ApplicationError(error.message, error.details, type=error.type, non_retryable=True)


def in_an_activity(failure: ApplicationError) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="worker",
        activity_type="accounts.transition",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = failure
    return error


def refused() -> IllegalMove:
    with pytest.raises(IllegalMove) as caught:
        check_move(AccountStatus.SETTLED, AccountStatus.NEW)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        refused(),
        Conflict("changed by somebody else"),
        NotFound("there is no such account"),
        Invalid("in the past", field="due_date"),
        KeyReused("used with another body", field="Idempotency-Key"),
        Unavailable("later", retry_after_s=7),
    ],
    ids=lambda error: error.type,
)
@pytest.mark.parametrize("wrap", [carried, lambda error: in_an_activity(carried(error))])
def test_an_error_comes_back_as_it_was(error: DomainError, wrap: Any) -> None:
    failure = application_error(WorkflowUpdateFailedError(wrap(error)))
    assert failure is not None
    back = domain_error(failure)
    assert back is not None
    assert type(back) is type(error)
    assert (back.message, back.details, back.status) == (error.message, error.details, error.status)


def test_what_no_domain_error_is_stays_what_it_is() -> None:
    assert domain_error(ApplicationError("boom", type="KeyError")) is None
    assert domain_error(ApplicationError("boom")) is None
    assert application_error(WorkflowUpdateFailedError(RuntimeError("lost"))) is None


def test_details_of_another_shape_are_left_out() -> None:
    back = domain_error(ApplicationError("no", "words", type=Conflict.type))
    assert (type(back), back and back.details) == (Conflict, {})


def test_every_type_stands_for_one_class() -> None:
    kinds = list(subclasses(DomainError))
    own = [kind.type for kind in kinds if "type" in vars(kind)]
    assert len(own) == len(set(own))


def subclasses(kind: type[DomainError]) -> Any:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_one_command_is_one_update_and_another_is_another() -> None:
    first = CommandIdentity(operation="POST /a", key="k", body_hash="00")
    assert update_id(first, 3) == update_id(first.model_copy(), 3) != update_id(first, 4)
    others = [
        first.model_copy(update=change)
        for change in ({"operation": "POST /b"}, {"key": "l"}, {"body_hash": "01"})
    ]
    assert len({update_id(identity, 3) for identity in (first, *others)}) == 4
