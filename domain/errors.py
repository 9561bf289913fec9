"""Errors a user or caller can act on.

Each class has a stable ``type`` (the problem type of the API and the error type of Temporal
failures), an HTTP ``status`` and says whether trying again may help. Messages are shown to people:
they name the place and the remedy, and never another tenant's data.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Base of every expected failure; ``details`` are JSON-ready facts for the caller."""

    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Malformed(DomainError):
    """The request cannot be understood, or is not signed as it should be."""

    type = "malformed"
    title = "Malformed request"
    status = 400


class Unauthenticated(DomainError):
    """Nobody is logged in, or the login is no longer good."""

    type = "unauthenticated"
    title = "Not logged in"
    status = 401


class Forbidden(DomainError):
    """Known, but not allowed."""

    type = "forbidden"
    title = "Not allowed"
    status = 403


class NotFound(DomainError):
    """Not there, or not yours: the two are deliberately the same answer."""

    type = "not-found"
    title = "Not found"
    status = 404


class Conflict(DomainError):
    """The request is right in itself but not in the present state."""

    type = "conflict"
    title = "Conflict with the present state"
    status = 409


class Invalid(DomainError):
    """A value is not acceptable; ``field`` names it."""

    type = "invalid"
    title = "Invalid value"
    status = 422

    def __init__(self, message: str, *, field: str | None = None, **details: Any) -> None:
        super().__init__(message, **({"field": field} if field else {}), **details)
        self.field = field


class KeyReused(Invalid):
    """An idempotency key came back with another body."""

    type = "idempotency-key-reused"
    title = "Idempotency key reused"


class TooManyRequests(DomainError):
    """A rate or size limit was hit; trying later may help."""

    type = "too-many-requests"
    title = "Too many requests"
    status = 429
    retryable = True


class Unavailable(DomainError):
    """Something this depends on does not answer; nothing was lost, trying again helps."""

    type = "unavailable"
    title = "Temporarily unavailable"
    status = 503
    retryable = True
