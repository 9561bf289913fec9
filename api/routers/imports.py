"""Imports: portfolio files on their way in."""

from pathlib import PurePath
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sse_starlette import EventSourceResponse

from api.deps import Command, IdempotencyKey, ReadsImports, RunsImports, ServicesDep, respond
from api.events import ListenerDep
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.imports import (
    UPLOAD_BODY,
    FormatQuery,
    ImportQueryDep,
    Line,
    ReportFormat,
    SeverityQuery,
)
from api.uploads import MultipartUpload
from services.commands import CommandKey
from services.fields import Nothing
from services.import_views import ImportProblemView, ImportView, PollView, problem_view

router = APIRouter(prefix="/imports", tags=["imports"])


@router.get("", responses=READ_ERRORS)
async def list_imports(
    who: ReadsImports, query: ImportQueryDep, paging: Paging, services: ServicesDep
) -> Page[ImportView]:
    """Imports of the agency, newest first."""
    rows = await services.imports.page(who, query.wanted, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=services.imports.view)


@router.post(
    "",
    status_code=202,
    response_model=ImportView,
    responses=WRITE_ERRORS,
    openapi_extra=UPLOAD_BODY,
)
async def upload_file(
    request: Request, who: RunsImports, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Send a portfolio file. The same bytes again answer the same import, unless that failed."""
    command = CommandKey("POST /api/v1/imports", idempotency_key)
    return respond(await services.imports.upload(who, command, MultipartUpload(request)))


@router.post("/poll", status_code=202, response_model=PollView, responses=WRITE_ERRORS)
async def poll(
    who: RunsImports, command: Command, services: ServicesDep, body: Nothing | None = None
) -> JSONResponse:
    """Look into the agency's SFTP inboxes now; a poll that is at work is answered instead."""
    return respond(await services.imports.poll(who, command))


@router.get("/{import_id}", responses=READ_ERRORS)
async def get_import(import_id: UUID, who: ReadsImports, services: ServicesDep) -> ImportView:
    """One import: how far it is, what it came to."""
    return services.imports.view(await services.imports.get(who, import_id))


@router.get(
    "/{import_id}/errors",
    response_model=Page[ImportProblemView],
    responses={**WRITE_ERRORS, 200: {"content": {"text/csv": {}}}},
)
async def list_errors(
    import_id: UUID,
    who: ReadsImports,
    paging: Paging,
    services: ServicesDep,
    severity: SeverityQuery = None,
    report: FormatQuery = ReportFormat.JSON,
) -> Page[ImportProblemView] | Response:
    """What was wrong, from the first line on; with ``format=csv`` the refused rows as they came, to be
    mended and sent again (for those who may send files)."""
    if report is ReportFormat.CSV:
        job, lines = await services.imports.mendable(who, import_id)
        return StreamingResponse(
            lines, media_type="text/csv", headers={"Content-Disposition": attachment(job.file_name)}
        )
    rows = await services.imports.problems(
        who, import_id, paging.position(Line, Line, order="line"), paging.limit, severity=severity
    )
    return paging.page(rows, key=lambda row: (row.line, row.id), render=problem_view, order="line")


def attachment(file_name: str) -> str:
    """How a browser is told to save the refused rows of a file (RFC 6266)."""
    stem = PurePath(file_name).name.split(".")[0] or "portfolio"
    return f"attachment; filename*=UTF-8''{quote(f'{stem}-to-mend.csv', safe='')}"


@router.get(
    "/{import_id}/events",
    response_class=EventSourceResponse,
    responses={**READ_ERRORS, 204: {"description": "the import has ended and you know how"}},
)
async def follow_import(
    import_id: UUID, who: ReadsImports, services: ServicesDep, listener: ListenerDep
) -> Response:
    """Progress as server-sent events, one for each change, ending with ``completed`` or ``failed``."""
    imports, job = services.imports, await services.imports.get(who, import_id)
    return listener.stream(imports.events, job.agency_id, import_id, job, view=imports.view)
