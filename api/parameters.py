"""Query parameters that an operation does not know are refused.

A filter with a typing error would otherwise be passed over, and the whole list be taken for what was asked.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, Request

from domain.errors import Invalid

Operations = Mapping[tuple[str, str], list[str]]
"""Names of query parameters by path (below the prefix) and method."""


Query = TypeVar("Query")


def asked(query: type[Query]) -> Callable[..., Awaitable[Query]]:
    """A dependency that makes ``query``, whose constructor takes the parameters.

    FastAPI would run the class itself in a thread, as everything that is no coroutine.
    """

    async def made(**given: Any) -> Query:
        return query(**given)

    made.__signature__ = inspect.signature(query)  # type: ignore[attr-defined]
    return made


def refuse_unknown(prefix: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency of all operations below ``prefix``: ``Invalid``, by name, for a query parameter that the
    schema of the operation does not have."""

    async def check(request: Request) -> None:
        if not request.query_params:
            return
        known = _known(request.app, prefix)[request.scope["route"].path_format, request.method.lower()]
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            there_are = f"there are {', '.join(known)}" if known else "there are none here"
            raise Invalid(f"{unknown[0]}: there is no such parameter; {there_are}", field=unknown[0])

    return check


def _known(app: FastAPI, prefix: str) -> Operations:
    """What the schema says; read once."""
    found: Operations | None = getattr(app.state, "query_parameters", None)
    if found is None:
        found = app.state.query_parameters = {
            (path.removeprefix(prefix), method): _query_parameters(operation)
            for path, operations in app.openapi()["paths"].items()
            for method, operation in operations.items()
        }
    return found


def _query_parameters(operation: Mapping[str, Any]) -> list[str]:
    return [item["name"] for item in operation.get("parameters", ()) if item["in"] == "query"]
