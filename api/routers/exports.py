"""Exports: lists as files."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sse_starlette import EventSourceResponse

from api.deps import Command, ExportsLists, ServicesDep, respond
from api.events import ListenerDep
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS, errors
from api.schemas.exports import StatusQuery, TokenQuery, export_request
from services.export_files import MEDIA_TYPE
from services.export_views import ExportForm, ExportLink, ExportView

router = APIRouter(prefix="/exports", tags=["exports"])


@router.post("", status_code=202, response_model=ExportView, responses={**WRITE_ERRORS, **errors(429)})
async def export_list(
    body: ExportForm, who: ExportsLists, command: Command, services: ServicesDep
) -> JSONResponse:
    """Have a list written into a CSV file: all rows that the list shows you when it is written.

    `filters` are the list's own query parameters. 429 while as many exports as are allowed are at work.
    """
    request = export_request(body.list, body.filters, body.format)
    return respond(await services.exports.ask(who, command, request))


@router.get("", responses=READ_ERRORS)
async def list_exports(
    who: ExportsLists, paging: Paging, services: ServicesDep, status: StatusQuery = None
) -> Page[ExportView]:
    """Your exports, newest first; administrators see those of everybody in the agency."""
    rows = await services.exports.page(who, status or (), paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.get(
    "/download",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **errors(400, 404, 409, 422, 503)},
)
async def download(token: TokenQuery, services: ServicesDep) -> StreamingResponse:
    """The file that a link is for; whoever has the link may fetch it while it is good."""
    file = await services.exports.download(token)
    headers = {
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Content-Length": str(file.size),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(file.blocks, media_type=MEDIA_TYPE, headers=headers)


@router.get("/{export_id}", responses=READ_ERRORS)
async def get_export(export_id: UUID, who: ExportsLists, services: ServicesDep) -> ExportView:
    """One export: how far it is, what it came to."""
    return await services.exports.get(who, export_id)


@router.get(
    "/{export_id}/events",
    response_class=EventSourceResponse,
    responses={**READ_ERRORS, 204: {"description": "the export has ended and you know how"}},
)
async def follow_export(
    export_id: UUID, who: ExportsLists, services: ServicesDep, listener: ListenerDep
) -> Response:
    """Progress as server-sent events, one for each change, ending with `completed` or `failed`."""
    exports, job = services.exports, await services.exports.get(who, export_id)
    return listener.stream(exports.events, who.tenant.agency_id, export_id, job, view=lambda now: now)


@router.get("/{export_id}/link", responses={**READ_ERRORS, **errors(409)})
async def get_link(export_id: UUID, who: ExportsLists, services: ServicesDep) -> ExportLink:
    """A link to the file, good for five minutes; 409 while there is no file, or none any more."""
    return await services.exports.link(who, export_id)
