"""Imports: sending files, watching them come in, and what was refused."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from api.deps import IdempotencyKey, ServicesDep
from api.events import LastEventId
from api.pagination import Paging
from api.routers.imports import attachment
from api.schemas.imports import ImportQueryDep, ImportStatus, Line, SeverityQuery
from api.uploads import MultipartUpload
from console.forms import FormCommand
from console.lists import page_of
from console.live import live
from console.notices import done
from console.rendering import wanted_block
from console.web import CSRF_HEADER, PagesDep, router, sees
from domain.errors import Forbidden
from domain.placements import Severity
from services.access import Right
from services.commands import CommandKey
from services.import_views import problem_view, share_done
from services.sessions import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.composition import Services
    from console.rendering import Pages
    from db.models import ImportJob
    from services.imports import UnderWay

pages = router()
UPLOAD_PATH = "/imports"
UPLOAD_FORM = "upload"
MOST_LAYOUTS = 200
ReadsImports = Annotated[Visitor, sees(Right.READ_IMPORTS)]
RunsImports = Annotated[Visitor, sees(Right.RUN_IMPORTS)]


async def token_in_header(request: Request) -> None:
    """``Forbidden`` without a token in the header: the body, which may be large, is not read for one."""
    request.state.form_id = UPLOAD_FORM
    if CSRF_HEADER not in request.headers:
        raise Forbidden("this form was not made by this session; load the page again")


@pages.get("/imports")
async def imports(
    request: Request,
    visitor: ReadsImports,
    query: ImportQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Imports of the agency, newest first, and a place for files."""
    # Before the list: what changes while it is read is news to the page.
    seen = "" if wanted_block(request) else (await services.imports.newest(visitor.who)).standing
    rows = await services.imports.page(visitor.who, query.wanted, paging.position(UUID), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=services.imports.view)
    may_run = visitor.who.may(Right.RUN_IMPORTS)
    return templates.page(
        request,
        "imports.html",
        list=shown,
        seen=seen,
        statuses=list(ImportStatus),
        may_run=may_run,
        layouts=await services.sources.page(visitor.who, None, MOST_LAYOUTS) if may_run else [],
        max_bytes=services.imports.upload_max_bytes,
        key=uuid4().hex,
    )


@pages.post(UPLOAD_PATH, dependencies=[Depends(token_in_header)])
async def upload_file(
    request: Request, visitor: RunsImports, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take a file in as it arrives; it goes the way of one from an inbox."""
    command = CommandKey(f"console POST {UPLOAD_PATH}", idempotency_key)
    answer = await services.imports.upload(visitor.who, command, MultipartUpload(request))
    job = answer.body
    page, name = f"/imports/{job['id']}", job["file_name"]
    if job["status"] in {"completed", "processing"}:
        return done(page, f"This file was sent before, as {name}; this is its import", "warning")
    return done(page, f"{name} was received; this page follows it.")


@pages.post("/imports/poll")
async def poll(visitor: RunsImports, command: FormCommand, services: ServicesDep) -> Response:
    """Look into the agency's SFTP inboxes now."""
    await services.imports.poll(visitor.who, command)
    return done("/imports", "The SFTP inboxes are being looked into; new files show here in a moment")


@pages.get("/imports/live")
async def follow_all(
    visitor: ReadsImports,
    services: ServicesDep,
    templates: PagesDep,
    seen: Annotated[str, Query(max_length=64)] = "",
    last_event_id: LastEventId = 0,
) -> Response:
    """What is under way, with every change; the list is asked for anew when an import begins or ends.

    ``seen``: how imports stood when the page was made.
    """
    return live(
        services.imports.under_way,
        visitor,
        visitor.who.tenant.agency_id,
        render=_under_way(services, templates, visitor),
        after=last_event_id,
        watch=services.sessions.watch,
        own=_moved(templates, seen, heard_before=last_event_id > 0),
    )


def _under_way(services: "Services", templates: "Pages", visitor: Visitor) -> "Callable[[UnderWay], str]":
    def render(now: "UnderWay") -> str:
        jobs = [(services.imports.view(job), share_done(job)) for job in now.going]
        return templates.fragment("_imports_under_way.html", visitor, jobs=jobs)

    return render


def _moved(templates: "Pages", seen: str, *, heard_before: bool) -> "Callable[[UnderWay], str]":
    """Has a page ask for its list anew when an import has begun or ended since it was made or told last.

    ``heard_before``: by a stream that broke off, so that nobody knows what the page has missed.
    """
    told = "" if heard_before else seen

    def render(now: "UnderWay") -> str:
        nonlocal told
        moved, told = now.standing != told, now.standing
        return templates.fragment("_imports_moved.html") if moved else ""

    return render


@pages.get("/imports/{import_id}")
async def one_import(
    request: Request,
    import_id: UUID,
    visitor: ReadsImports,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
    severity: SeverityQuery = None,
) -> Response:
    """One import: how far it is, what it came to, and what was wrong in the file."""
    job = await services.imports.get(visitor.who, import_id)
    position = paging.position(Line, Line, order="line")
    rows = await services.imports.problems(visitor.who, import_id, position, paging.limit, severity=severity)
    may_run = visitor.who.may(Right.RUN_IMPORTS)
    return templates.page(
        request,
        "import.html",
        job=services.imports.view(job),
        share=share_done(job),
        problems=page_of(paging, rows, key=lambda row: (row.line, row.id), render=problem_view, order="line"),
        severities=list(Severity),
        may_run=may_run,
        may_mend=may_run and bool(job.header) and job.processed_errors > 0,
    )


@pages.get("/imports/{import_id}/live")
async def follow(
    import_id: UUID,
    visitor: ReadsImports,
    services: ServicesDep,
    templates: PagesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """One import's progress, with every change until it ends."""
    job = await services.imports.get(visitor.who, import_id)

    def render(now: "ImportJob") -> str:
        values = {"job": services.imports.view(now), "share": share_done(now), "live": True}
        return templates.fragment("_import_progress.html", visitor, **values)

    return live(
        services.imports.events,
        visitor,
        import_id,
        render=render,
        after=last_event_id,
        watch=services.sessions.watch,
        now=job,
    )


@pages.get("/imports/{import_id}/to-mend.csv")
async def to_mend(import_id: UUID, visitor: RunsImports, services: ServicesDep) -> Response:
    """The refused rows as they came, to be mended and sent again."""
    job, lines = await services.imports.mendable(visitor.who, import_id)
    headers = {"Content-Disposition": attachment(job.file_name)}
    return StreamingResponse(lines, media_type="text/csv", headers=headers)


@pages.get("/imports/{import_id}/lines/{line}")
async def original(
    request: Request,
    import_id: UUID,
    line: Annotated[int, Path(ge=1, lt=1 << 63)],
    visitor: RunsImports,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """The whole text of one refused record; looking is audited."""
    text = await services.imports.original(visitor.who, import_id, line)
    return templates.page(request, "import_line.html", import_id=import_id, line=line, text=text)
