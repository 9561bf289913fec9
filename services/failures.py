"""A failure that came back from a workflow, as the domain error that it was where it arose."""

from collections.abc import Iterator

from temporalio.exceptions import ApplicationError

from domain.errors import DomainError


def application_error(error: BaseException) -> ApplicationError | None:
    """The application error beneath a failed update, whether a handler raised it or its activity."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return cause


def domain_error(failure: ApplicationError) -> DomainError | None:
    """The domain error that a failure of its type stands for, with its details; None for any other type.

    Its first detail is the error's ``details``, as ``workers.interceptors`` puts them.
    """
    kinds = {kind.type: kind for kind in _kinds(DomainError)}
    kind = kinds.get(failure.type or "")
    if kind is None:
        return None
    details = failure.details[0] if failure.details and isinstance(failure.details[0], dict) else {}
    return kind(failure.message, **details)


def _kinds(parent: type[DomainError]) -> Iterator[type[DomainError]]:
    """The classes that have a type of their own, the more general later, so that its type stays its own."""
    for kind in parent.__subclasses__():
        yield from _kinds(kind)
    if "type" in vars(parent):
        yield parent
