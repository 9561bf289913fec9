"""Collectors: the people accounts are assigned to."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsSettings, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.collectors import CollectorChange, CollectorView, NewCollector

router = APIRouter(prefix="/collectors", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def list_collectors(who: ReadsSettings, paging: Paging, services: ServicesDep) -> Page[CollectorView]:
    """Collectors of the agency, newest first."""
    rows = await services.collectors.page(who, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=CollectorView.model_validate)


@router.post("", status_code=201, response_model=CollectorView, responses=WRITE_ERRORS)
async def create_collector(
    body: NewCollector, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make a collector of a user with that role."""
    return respond(await services.collectors.create(who, command, body))


@router.get("/{collector_id}", responses=READ_ERRORS)
async def get_collector(collector_id: UUID, who: ReadsSettings, services: ServicesDep) -> CollectorView:
    """One collector."""
    return await services.collectors.get(who, collector_id)


@router.patch("/{collector_id}", response_model=CollectorView, responses=WRITE_ERRORS)
async def change_collector(
    collector_id: UUID, body: CollectorChange, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change a collector; `max_accounts` bounds automatic assignment only."""
    return respond(await services.collectors.change(who, command, collector_id, body))


@router.delete("/{collector_id}", response_model=CollectorView, responses=WRITE_ERRORS)
async def deactivate_collector(
    collector_id: UUID, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Deactivate a collector; their accounts stay theirs until assigned anew."""
    return respond(
        await services.collectors.change(who, command, collector_id, CollectorChange(active=False))
    )
