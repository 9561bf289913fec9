"""Every error as ``application/problem+json`` (RFC 9457), saying what to do and leaking nothing."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import DomainError, Invalid, Malformed, NotFound, Unauthenticated, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
NOT_JSON = "the body is not valid JSON"
_FASTAPI_UNREADABLE = "There was an error parsing the body"
"""FastAPI's answer to bytes that are no UTF-8, or are nested too deep to be read."""
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SHOWN_BY_PYTHON = re.compile(r"<\w+\.\w+: ('[^']*')>|Decimal\('([^']*)'\)")
_SEQUENCE = re.compile(r"^(?:Tuple|Set|Frozenset)(?= should)")
_ID = "must be an id such as 0199a3c2-7d1e-7c55-8a41-5a1b7c6d0e2f"
_LIST, _OBJECT = "must be a list", "must be an object"
_IN_OUR_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "uuid_parsing": _ID,
        "uuid_type": _ID,
        "uuid_version": _ID,
        "list_type": _LIST,
        "tuple_type": _LIST,
        "set_type": _LIST,
        "frozen_set_type": _LIST,
        "dict_type": _OBJECT,
        "extra_forbidden": "there is no such field",
        "mapping_type": _OBJECT,
        "model_type": _OBJECT,
        "model_attributes_type": _OBJECT,
    }
)
"""What the validator says in the words of its own language, by the type of the error."""

_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "string_too_long": "must have at most {max_length} characters",
    }
)
"""The same, of what is beyond a limit."""

_TEMPORAL_DOWN = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
    }
)


class Problem(BaseModel):
    """The shape of every error, for the schema; further members depend on the type."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class ProblemResponse(JSONResponse):
    """A JSON response with the media type of problems."""

    media_type = MEDIA_TYPE


def problem(
    path: str,
    *,
    slug: str,
    title: str,
    status: int,
    detail: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """A problem response; ``details`` are extension members and never replace the standard ones."""
    body = {
        **(details or {}),
        "type": f"urn:recoup:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
    }
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))


def of_domain_error(path: str, error: DomainError) -> ProblemResponse:
    """The problem that a domain error is to the caller."""
    headers = {}
    if error.retryable:
        headers["Retry-After"] = str(error.details.get("retry_after_s", RETRY_AFTER_S))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(
        path,
        slug=error.type,
        title=error.title,
        status=error.status,
        detail=error.message,
        details=error.details,
        headers=headers,
    )


def incident(path: str, incident_id: str) -> ProblemResponse:
    """The answer to an unexpected failure: nothing but the id under which it was logged."""
    return problem(
        path,
        slug="internal",
        title="Internal error",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail=f"something failed on our side; it is recorded as incident {incident_id}",
        details={"incident": incident_id},
    )


async def _domain_error(request: Request, error: Exception) -> ProblemResponse:
    return of_domain_error(request.url.path, cast("DomainError", error))


async def _http_error(request: Request, error: Exception) -> ProblemResponse:
    error = cast("HTTPException", error)
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        return of_domain_error(request.url.path, NotFound("there is nothing at this address"))
    if status is HTTPStatus.BAD_REQUEST:
        unreadable = error.detail == _FASTAPI_UNREADABLE
        return of_domain_error(request.url.path, Malformed(NOT_JSON if unreadable else str(error.detail)))
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(
        request.url.path,
        slug=status.phrase.lower().replace(" ", "-"),
        title=status.phrase,
        status=status,
        detail=str(error.detail),
        headers=headers,
    )


def _allowed(request: Request) -> list[str]:
    """Every method of this address: its operations are routes of their own, of which one has refused."""
    address = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}

    def there_is(method: str) -> bool:
        scope = {**address, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if there_is(method)]


async def _validation_error(request: Request, error: Exception) -> ProblemResponse:
    error = cast("RequestValidationError", error)
    if any(tuple(item["loc"]) == ("body",) and isinstance(item["input"], bytes) for item in error.errors()):
        # FastAPI leaves a body of another media type, or of none, as the bytes that it came in.
        refusal = "send JSON with content-type: application/json"
        return await _http_error(request, HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, refusal))
    return of_domain_error(request.url.path, of_validation(error))


def of_validation(error: RequestValidationError) -> DomainError:
    """What was wrong with a request, in its sender's words; ``errors`` has each field with its message."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Malformed(NOT_JSON)
    errors = [{"field": field_path(item["loc"]), "message": _message(item)} for item in found]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Invalid(f"{first['field']}: {first['message']}{more}", field=first["field"], errors=errors)


async def _temporal_error(request: Request, error: Exception) -> ProblemResponse:
    return of_domain_error(request.url.path, of_temporal(cast("RPCError", error)))


def of_temporal(error: RPCError) -> DomainError:
    """What an error of the workflow server is to the caller; raised again when that is nothing they know."""
    if error.status not in _TEMPORAL_DOWN:
        raise error
    return Unavailable("the workflow server does not answer at the moment; send the request again")


def field_path(location: Sequence[int | str]) -> str:
    """Where a value stands, as its sender would write it: ``profile.columns[2]``."""
    parts = list(location)
    if parts and parts[0] in _PLACES:
        place = str(parts.pop(0))
        if not parts:
            return place
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _message(fault: Mapping[str, Any]) -> str:
    if (limit := _LIMITS.get(fault["type"])) is not None:
        return limit.format(**fault["ctx"])
    return _IN_OUR_WORDS.get(fault["type"]) or sentence(fault["msg"])


def sentence(message: str) -> str:
    """A validation message in its reader's words: values as they are typed, not as Python shows them."""
    return _SEQUENCE.sub("List", _SHOWN_BY_PYTHON.sub(r"\1\2", message.removeprefix("Value error, ")))


def install(app: FastAPI) -> None:
    """Make every error of ``app`` that is not a bug a problem; bugs are the edge's (``api.edge``)."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RPCError, _temporal_error)
