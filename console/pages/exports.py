"""Exports: lists as files, asked for from the list itself."""

from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Form, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.exports import export_request, filters_of
from console.forms import FormCommand, checked
from console.lists import page_of
from console.narrowing import in_words
from console.notices import done
from console.web import PagesDep, router, sees
from services.access import Right
from services.export_views import ExportForm
from services.sessions import Visitor

pages = router()
Exports = Annotated[Visitor, sees(Right.EXPORT_LISTS)]
AT_WORK = frozenset({"pending", "running"})
MAX_QUERY = 4000


@pages.get("/exports")
async def exports(
    request: Request, visitor: Exports, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """One's own exports, newest first; administrators see those of everybody."""
    rows = await services.exports.page(visitor.who, (), paging.position(UUID), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=lambda row: row)
    return templates.page(
        request,
        "exports.html",
        list=shown,
        narrowed=await in_words(services, visitor.who, [one.filters for one in shown.results]),
        at_work=any(one.status in AT_WORK for one in shown.results),
        here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
    )


@pages.post("/exports")
async def export(
    visitor: Exports,
    command: FormCommand,
    services: ServicesDep,
    name: Annotated[str, Form(alias="list", max_length=100)],
    query: Annotated[str, Form(max_length=MAX_QUERY)] = "",
) -> Response:
    """Have a list written into a file, narrowed as its page is: ``query`` is what the page's address says."""
    form = checked(ExportForm, {"list": name, "filters": filters_of(parse_qsl(query))})
    request = export_request(form.list, form.filters)
    answer = await services.exports.ask(visitor.who, command, request)
    return done("/exports", f"{answer.body['file_name']} is being written.")


@pages.get("/exports/{export_id}/file")
async def fetch(export_id: UUID, visitor: Exports, services: ServicesDep) -> Response:
    """The file, by a link that is good for some minutes."""
    link = await services.exports.link(visitor.who, export_id)
    return RedirectResponse(link.url, 303)
