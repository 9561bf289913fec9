"""Applications in this process, which differ in all but their routes.

FastAPI analyses the routes of an application at its first request, a third of a second of work; they find
what serves a request by the request's application, so that those of one serve for all.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI

from api.composition import Services
from runtime.settings import Settings

Create = Callable[..., FastAPI]


def application(create: Create, settings: Settings, services: Services) -> FastAPI:
    """As ``create`` (of the API, or of the console) makes it, over services that are open."""
    first = _first(create)
    app: Any = create(settings, services=services)
    app.router.routes[:] = first.router.routes
    app.openapi = first.openapi
    return app  # type: ignore[no-any-return]


@cache
def _first(create: Create) -> FastAPI:
    return create(Settings(_env_file=None))
