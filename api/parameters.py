"""Query parameters that an operation does not know are refused.

A filter with a typing error would otherwise be passed over, and the whole list be taken for what was asked.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi

from domain.errors import Invalid

Query = TypeVar("Query")


def asked(query: type[Query]) -> Callable[..., Awaitable[Query]]:
    """A dependency that makes ``query``, whose constructor takes the parameters.

    FastAPI would run the class itself in a thread, as everything that is no coroutine.
    """

    async def made(**given: Any) -> Query:
        return query(**given)

    made.__signature__ = inspect.signature(query)  # type: ignore[attr-defined]
    return made


async def refuse_unknown(request: Request) -> None:
    """A dependency of all operations: ``Invalid``, by name, for a query parameter that the schema of the
    operation does not have."""
    if not request.query_params:
        return
    known = _known(request)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        there_are = f"there are {', '.join(known)}" if known else "there are none here"
        raise Invalid(f"{unknown[0]}: there is no such parameter; {there_are}", field=unknown[0])


def _known(request: Request) -> Sequence[str]:
    """Names of query parameters, by the schema of this route alone: that of all takes seconds to make."""
    route, method = request.scope["route"], request.method.lower()
    found = _found.setdefault(request.app, {})
    key = route.path_format, method
    if key not in found:
        [operations] = get_openapi(title="", version="", routes=[route])["paths"].values()
        parameters = operations[method].get("parameters", ())
        found[key] = [item["name"] for item in parameters if item["in"] == "query"]
    return found[key]


_found: WeakKeyDictionary[FastAPI, dict[tuple[str, str], Sequence[str]]] = WeakKeyDictionary()
"""By path and method."""
