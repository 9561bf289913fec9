"""Coming in, going out, and where each begins."""

from typing import Annotated

from fastapi import Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import ServicesDep, client_ip
from console.navigation import first_page
from console.rendering import Pages
from console.web import (
    LOGIN,
    LONGEST_WAY_BACK,
    LoggedIn,
    PagesDep,
    check_origin,
    keep_session,
    router,
)
from domain.errors import DomainError, NotFound, TooManyRequests, Unauthenticated
from services.sessions import COOKIE

pages = router()
MAX_LENGTH = 200
Text = Annotated[str, Form(max_length=MAX_LENGTH, pattern=r"^[^\x00]*$")]
Next = Annotated[str, Query()]


@pages.get("/")
async def start(visitor: LoggedIn) -> Response:
    """Lead each to the page that their day begins with."""
    return RedirectResponse(first_page(visitor.who), 303)


@pages.get(LOGIN)
async def login(request: Request, services: ServicesDep, templates: PagesDep, next: Next = "/") -> Response:  # noqa: A002
    """The login; who is logged in already is led on."""
    try:
        await services.sessions.visitor(request.cookies.get(COOKIE), ip=client_ip(request))
    except (Unauthenticated, NotFound):
        return _page(request, templates, next=_ours(next))
    return RedirectResponse(_ours(next), 303)


@pages.post(LOGIN)
async def log_in(
    request: Request,
    services: ServicesDep,
    templates: PagesDep,
    username: Text = "",
    password: Text = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Open a session and lead on; or say that name or password is not right, or when to try again."""
    check_origin(request)
    try:
        session = await services.sessions.open(username, password, ip=client_ip(request))
    except (Unauthenticated, TooManyRequests) as refusal:
        page = _page(request, templates, next=_ours(next), username=username, refusal=refusal)
        if (wait_s := refusal.details.get("retry_after_s")) is not None:
            page.headers["Retry-After"] = str(wait_s)
        return page
    response = RedirectResponse(_ours(next), 303)
    keep_session(request, response, session)
    return response


@pages.post("/logout")
async def log_out(request: Request, visitor: LoggedIn, services: ServicesDep) -> Response:
    """End the session everywhere, not only in this browser."""
    await services.sessions.end(visitor.session)
    request.state.left = True
    response = RedirectResponse(LOGIN, 303)
    response.delete_cookie(COOKIE, path="/")
    return response


@pages.post("/agency")
async def pick_agency(request: Request, visitor: LoggedIn, services: ServicesDep, agency: Text) -> Response:
    """A platform administrator looks at another agency."""
    session = await services.sessions.pick(visitor, agency)
    request.state.left = True
    response = RedirectResponse("/", 303)
    keep_session(request, response, session)
    return response


def _page(
    request: Request,
    templates: Pages,
    *,
    next: str,  # noqa: A002
    username: str = "",
    refusal: DomainError | None = None,
) -> Response:
    values = {"next": next, "username": username, "hint": request.app.state.login_hint}
    if refusal is None:
        return templates.page(request, "login.html", refusal=None, **values)
    return templates.page(request, "login.html", status=refusal.status, refusal=refusal.message, **values)


def _ours(address: str) -> str:
    """``address`` if it is a path of this application, else the start."""
    path = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    path = path and len(address) <= LONGEST_WAY_BACK
    return address if path else "/"
