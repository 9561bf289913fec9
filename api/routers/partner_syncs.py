"""What partners are sent: asked for, and what of it has arrived."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.fields import Nothing
from services.partner_syncs import NewSync, SyncView, SyncWithBatches

router = APIRouter(tags=["partners"])


@router.post("/partners/{partner_id}/syncs", status_code=202, response_model=SyncView, responses=WRITE_ERRORS)
async def start_sync(
    partner_id: UUID,
    who: RunsReconciliations,
    command: Command,
    services: ServicesDep,
    body: NewSync | None = None,
) -> JSONResponse:
    """Send the partner the accounts of high priority now; after each scoring run that happens by itself."""
    return respond(await services.partner_syncs.start(who, command, partner_id, body or NewSync()))


@router.get("/partners/{partner_id}/syncs", responses=READ_ERRORS)
async def list_syncs(
    partner_id: UUID, who: ReadsReconciliations, paging: Paging, services: ServicesDep
) -> Page[SyncView]:
    """What the partner was sent, newest first."""
    syncs = await services.partner_syncs.page(who, partner_id, paging.position(datetime, UUID), paging.limit)
    return paging.page(syncs, key=lambda sync: (sync.created_at, sync.id), render=lambda sync: sync)


@router.get("/syncs/{sync_id}", responses=READ_ERRORS)
async def get_sync(sync_id: UUID, who: ReadsReconciliations, services: ServicesDep) -> SyncWithBatches:
    """One sending with the delivery record of each batch; what was not confirmed counts as not delivered."""
    return await services.partner_syncs.get(who, sync_id)


@router.post("/syncs/{sync_id}/retry", status_code=202, response_model=SyncView, responses=WRITE_ERRORS)
async def retry_sync(
    sync_id: UUID,
    who: RunsReconciliations,
    command: Command,
    services: ServicesDep,
    body: Nothing | None = None,
) -> JSONResponse:
    """Send again what the partner has not confirmed of a sending that has failed: the same bytes and keys."""
    return respond(await services.partner_syncs.retry(who, command, sync_id))
