"""Addresses that lead nowhere: a page for people, a problem for programs."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.app import PREFIX
from console.web import as_domain_error, failed, finish, visitor
from domain.errors import DomainError

Handler = Callable[[Request, Exception], Awaitable[Response]]


def page_of_no_route(app: FastAPI) -> Handler:
    """A handler of HTTP errors outside of any route: the API's own, but for browsers."""
    of_api: Handler = app.exception_handlers[HTTPException]  # type: ignore[assignment]  # Starlette's is wider

    async def handle(request: Request, error: Exception) -> Response:
        of_program = request.url.path.startswith(PREFIX) or "text/html" not in request.headers.get(
            "Accept", ""
        )
        if of_program or getattr(error, "status_code", 0) != HTTPStatus.NOT_FOUND:
            return await of_api(request, error)
        # With the menu, for who is logged in.
        with suppress(DomainError):
            await visitor(request, request.app.state.services)
        return finish(request, await failed(request, as_domain_error(error)))

    return handle
