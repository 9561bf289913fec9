"""SFTP sources: where portfolio files come from. Secrets go in, never out."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsSettings, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.sources import NewSource, SourceChange, SourceView

router = APIRouter(prefix="/sftp-sources", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def list_sources(who: ReadsSettings, paging: Paging, services: ServicesDep) -> Page[SourceView]:
    """SFTP sources of the agency, newest first."""
    rows = await services.sources.page(who, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=SourceView.of)


@router.post("", status_code=201, response_model=SourceView, responses=WRITE_ERRORS)
async def create_source(
    body: NewSource, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make an SFTP source. The host key is required: without it nobody could tell the server from another."""
    return respond(await services.sources.create(who, command, body))


@router.get("/{source_id}", responses=READ_ERRORS)
async def get_source(source_id: UUID, who: ReadsSettings, services: ServicesDep) -> SourceView:
    """One SFTP source; of its secrets, only that they are there."""
    return await services.sources.get(who, source_id)


@router.patch("/{source_id}", response_model=SourceView, responses=WRITE_ERRORS)
async def change_source(
    source_id: UUID, body: SourceChange, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change an SFTP source; a secret that is null is removed."""
    return respond(await services.sources.change(who, command, source_id, body))


@router.delete("/{source_id}", response_model=SourceView, responses=WRITE_ERRORS)
async def deactivate_source(
    source_id: UUID, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Deactivate an SFTP source; it is polled no more."""
    return respond(await services.sources.change(who, command, source_id, SourceChange(active=False)))
