"""The queue of breaks: differences from partners' and the payment provider's records, until resolved."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, ResolvesBreaks, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.breaks import BreakQueryDep
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.break_views import BreakDetail, BreakView, DecisionForm, OwnerForm, ResolutionForm

router = APIRouter(prefix="/breaks", tags=["reconciliation"])


@router.get("", responses=READ_ERRORS)
async def list_breaks(
    who: ReadsReconciliations, query: BreakQueryDep, paging: Paging, services: ServicesDep
) -> Page[BreakView]:
    """Breaks, newest first; `state=open&state=proposed` is what awaits somebody."""
    wanted = query.wanted
    rows = await services.breaks.page(
        who, paging.position(UUID), paging.limit, wanted.filter, owner=wanted.owner
    )
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.get("/{break_id}", responses=READ_ERRORS)
async def get_break(break_id: UUID, who: ReadsReconciliations, services: ServicesDep) -> BreakDetail:
    """One break: both sides, how it can be resolved, what was proposed, what the partner was told."""
    return await services.breaks.get(who, break_id)


@router.post("/{break_id}/assign", response_model=BreakDetail, responses=WRITE_ERRORS)
async def assign_break(
    break_id: UUID, body: OwnerForm, who: ResolvesBreaks, command: Command, services: ServicesDep
) -> JSONResponse:
    """Give a break to somebody who may resolve it: from then on it is to be answered in time."""
    return respond(await services.breaks.assign(who, command, break_id, body))


@router.post("/{break_id}/propose", response_model=BreakDetail, responses=WRITE_ERRORS)
async def propose_resolution(
    break_id: UUID, body: ResolutionForm, who: ResolvesBreaks, command: Command, services: ServicesDep
) -> JSONResponse:
    """Propose how to resolve a break; nothing happens until somebody else approves it."""
    return respond(await services.breaks.propose(who, command, break_id, body))


@router.post("/{break_id}/approve", response_model=BreakDetail, responses=WRITE_ERRORS)
async def approve_resolution(
    break_id: UUID,
    who: ResolvesBreaks,
    command: Command,
    services: ServicesDep,
    body: DecisionForm | None = None,
) -> JSONResponse:
    """Have done what is proposed: 403 for who has proposed it, 409 when either side has changed since."""
    return respond(await services.breaks.approve(who, command, break_id, body or DecisionForm()))


@router.post("/{break_id}/reject", response_model=BreakDetail, responses=WRITE_ERRORS)
async def reject_resolution(
    break_id: UUID,
    who: ResolvesBreaks,
    command: Command,
    services: ServicesDep,
    body: DecisionForm | None = None,
) -> JSONResponse:
    """Turn down what is proposed; who has proposed it takes it back so. The break is open again."""
    return respond(await services.breaks.reject(who, command, break_id, body or DecisionForm()))


@router.post("/{break_id}/resolve", response_model=BreakDetail, responses=WRITE_ERRORS)
async def resolve_break(
    break_id: UUID, body: ResolutionForm, who: ResolvesBreaks, command: Command, services: ServicesDep
) -> JSONResponse:
    """Resolve a break in one step; 409 (`approval-needed`) above the partner's limit."""
    return respond(await services.breaks.resolve(who, command, break_id, body))
