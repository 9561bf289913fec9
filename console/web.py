"""What every page of the console shares: who looks at it, its headers, and errors in words."""

import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from api import problems
from api.deps import ServicesDep, client_ip
from api.edge import record_incident
from console.compression import compressed
from console.forms import CSRF_FIELD, FORM_FIELD
from console.notices import done
from console.rendering import POLICY, Pages, is_fragment
from domain.errors import DomainError, Forbidden, Malformed, NotFound, Unauthenticated
from services.access import Right, require
from services.sessions import COOKIE, Visitor

if TYPE_CHECKING:
    from services.sessions import Session

LOGIN = "/login"
AGENCIES = "/settings/agencies"
CSRF_HEADER = "X-CSRF-Token"
LONGEST_WAY_BACK = 2000
"""Characters of an address to which a login leads back; who comes from a longer one begins anew."""
_SAFE = frozenset({"GET", "HEAD"})
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
"""The id of a form, which goes into a header of the answer."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_EXPECTED = (DomainError, RequestValidationError, HTTPException, RPCError)


class AgencyNotPicked(Malformed):
    """A platform administrator asks for a page of an agency before having picked one."""


class TooLarge(Malformed):
    """More was sent than a form has."""

    title = "Too large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class ConsoleRoute(APIRoute):
    """A route whose answers are pages: errors in words, the headers of a page, and the session kept alive."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, wrapped."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            if (tidy := _without_blanks(request)) is not None:
                return tidy
            try:
                response = await handle(request)
            except _EXPECTED as error:
                response = await failed(request, as_domain_error(error))
            except Exception as error:  # noqa: BLE001 - the last resort: recorded, and answered without a word of it
                response = await broken(request, record_incident(error, self.path_format))
            return finish(request, response)

        return handler


def router() -> APIRouter:
    """A router of pages, which the API's schema does not have."""
    return APIRouter(route_class=ConsoleRoute, include_in_schema=False)


async def pages(request: Request) -> Pages:
    """The templates of this application."""
    return cast("Pages", request.app.state.pages)


PagesDep = Annotated[Pages, Depends(pages)]


async def visitor(request: Request, services: ServicesDep) -> Visitor:
    """Who looks at this page; ``Unauthenticated`` for nobody, ``Forbidden`` for a request of another site."""
    found = await services.sessions.visitor(request.cookies.get(COOKIE), ip=client_ip(request))
    request.state.visitor = found
    if request.method not in _SAFE:
        check_origin(request)
        if not services.sessions.knows(found.session, await _sent_token(request)):
            raise Forbidden("this form was not made by this session; load the page again")
    return found


LoggedIn = Annotated[Visitor, Depends(visitor)]


def sees(right: Right) -> Any:
    """A dependency: the visitor, who must have ``right`` and look at an agency."""

    async def check(found: LoggedIn) -> Visitor:
        require(found.who, right)
        if found.who.agency_id is None:
            raise AgencyNotPicked("pick an agency first: pages show one agency at a time")
        return found

    return Depends(check)


def check_origin(request: Request) -> None:
    """``Forbidden`` for a form that another site's page has sent (Fetch Metadata, Sec-Fetch-Site)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("this form was sent by another site")


async def _sent_token(request: Request) -> str:
    if (token := request.headers.get(CSRF_HEADER)) is not None:
        return token
    if not _brings_form(request):
        return ""
    return str((await request.form()).get(CSRF_FIELD, ""))


def _brings_form(request: Request) -> bool:
    return request.headers.get("Content-Type", "").startswith(_FORMS)


def keep_session(request: Request, response: Response, session: "Session") -> None:
    """Give the session's cookie, good from now on."""
    services = request.app.state.services
    response.set_cookie(
        COOKIE,
        services.sessions.cookie(session),
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.app.state.secure_cookies or request.url.scheme == "https",
    )


def finish(request: Request, response: Response) -> Response:
    """The headers of a page; a session that was used is kept alive."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    if found is not None and found.session.is_stale and not getattr(request.state, "left", False):
        keep_session(request, response, found.session)
    headers = MutableHeaders(raw=response.raw_headers)
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.add_vary_header("HX-Request")
    return compressed(request, response)


def as_domain_error(error: Exception) -> DomainError:
    """What people can be told of an error that is expected; anything else is raised again."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, RequestValidationError):
        if all(item["loc"][:1] == ("path",) for item in error.errors()):
            return _no_such_page()
        return problems.of_validation(error)
    if isinstance(error, RPCError):
        return problems.of_temporal(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    raise error


def _of_http(error: HTTPException) -> DomainError:
    """What comes of a request before any code of ours: there is no such page, or its form cannot be read."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _no_such_page()
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge("what was sent is larger than anything that this page takes; send less at once")
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return Malformed(f"the form cannot be read: {error.detail.rstrip('.')}")
    raise error


def _no_such_page() -> NotFound:
    return NotFound("there is nothing at this address")


async def failed(request: Request, error: DomainError) -> Response:
    """An error in words: beside the form that it is about, or a page; to the login for nobody."""
    if isinstance(error, Unauthenticated):
        return _to_login(request)
    if isinstance(error, AgencyNotPicked):
        return done(AGENCIES, error.message.capitalize(), "warning")
    templates: Pages = request.app.state.pages
    if not is_fragment(request):
        return templates.page(request, "problem.html", status=error.status, problem=error)
    found = getattr(request.state, "visitor", None)
    # A page may have more to say of an error than the error has: how things are by now.
    beside = getattr(request.state, "beside_problem", None)
    html = templates.fragment("_problem.html", found, problem=error) + (await beside(error) if beside else "")
    return Response(html, error.status, await _beside_form(request), media_type="text/html")


async def broken(request: Request, incident: str) -> Response:
    """A failure on our side: nothing but the id under which it was logged."""
    templates: Pages = request.app.state.pages
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if not is_fragment(request):
        return templates.page(request, "incident.html", status=status, incident=incident)
    html = templates.fragment("_incident.html", incident=incident)
    return Response(html, status, await _beside_form(request), media_type="text/html")


async def _beside_form(request: Request) -> dict[str, str]:
    """Where HTMX puts an error: into the form's own place for it, or the page's."""
    place = str(getattr(request.state, "form_id", ""))
    if not place and request.method not in _SAFE and _brings_form(request):
        # What could not be read before has been read in part: there is nothing more to learn of it.
        with suppress(HTTPException, RuntimeError):
            place = str((await request.form()).get(FORM_FIELD, ""))
    return {
        "HX-Retarget": f"#{place} .form-problem" if _ID.fullmatch(place) else "#problem",
        "HX-Reswap": "innerHTML",
        "HX-Push-Url": "false",
    }


def _to_login(request: Request) -> Response:
    """To the login and, when that is done, back to the page; a stream or a script gets a plain 401."""
    scripted = "HX-Request" in request.headers
    page = request.headers.get("HX-Current-URL") if scripted else None
    path = page.split("//", 1)[-1].partition("/")[2] if page else request.url.path.lstrip("/")
    query = "" if page or request.method not in _SAFE else request.url.query
    back = f"/{path}" + (f"?{query}" if query else "")
    led_back = back != "/" and len(back) <= LONGEST_WAY_BACK
    address = f"{LOGIN}?{urlencode({'next': back})}" if led_back else LOGIN
    if scripted:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    if request.headers.get("Accept", "").startswith("text/event-stream"):
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


def _without_blanks(request: Request) -> Response | None:
    """To the same page without the filters that were left empty, so that addresses say only what counts."""
    if request.method not in _SAFE:
        return None
    given = request.query_params.multi_items()
    kept = [(name, value) for name, value in given if value.strip()]
    if len(kept) == len(given):
        return None
    query = f"?{urlencode(kept)}" if kept else ""
    return RedirectResponse(f"{request.url.path}{query}", HTTPStatus.SEE_OTHER)
