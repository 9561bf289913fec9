"""The queue of breaks: differences from partners' and the payment provider's records, until resolved."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, ResolvesBreaks, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from db.breaks import BreakFilter
from domain.breaks import AgeBucket
from domain.money import MAX_AMOUNT, Money
from domain.reconciliation import BreakKind
from services.break_views import BreakDetail, BreakView, DecisionForm, OwnerForm, ResolutionForm

router = APIRouter(prefix="/breaks", tags=["reconciliation"])

BreakState = Literal["open", "proposed", "resolved"]
BreakSource = Literal["processor", "partner"]
StateQuery = Annotated[list[BreakState] | None, Query(alias="state", description="may be repeated")]
KindQuery = Annotated[list[BreakKind] | None, Query(alias="kind", description="may be repeated")]
SourceQuery = Annotated[list[BreakSource] | None, Query(alias="source", description="may be repeated")]
OwnerQuery = Annotated[str | None, Query(max_length=100, description="a username, `me`, or `none`")]
AgeQuery = Annotated[AgeBucket | None, Query(description="in days since it was found")]
ValueQuery = Annotated[Money | None, Query(ge=0, le=MAX_AMOUNT, description="the money at risk, at least")]
EscalatedQuery = Annotated[bool | None, Query(description="not answered in time")]


@router.get("", responses=READ_ERRORS)
async def list_breaks(
    who: ReadsReconciliations,
    paging: Paging,
    services: ServicesDep,
    state: StateQuery = None,
    kind: KindQuery = None,
    source: SourceQuery = None,
    partner_id: UUID | None = None,
    account_id: UUID | None = None,
    owner: OwnerQuery = None,
    age: AgeQuery = None,
    min_value: ValueQuery = None,
    escalated: EscalatedQuery = None,
) -> Page[BreakView]:
    """Breaks, newest first; `state=open&state=proposed` is what awaits somebody."""
    wanted = BreakFilter(
        states=state or (),
        kinds=kind or (),
        sources=source or (),
        partner_id=partner_id,
        account_id=account_id,
        age=age,
        min_value=min_value,
        escalated=escalated,
    )
    rows = await services.breaks.page(who, paging.position(UUID), paging.limit, wanted, owner=owner)
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
