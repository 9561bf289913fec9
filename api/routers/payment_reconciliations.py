"""Reconciliations with the payment provider, and the differences that they could not mend."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.payment_reconciliations import NewReconciliation, ProcessorBreakView, ReconciliationView

router = APIRouter(prefix="/payments", tags=["payments"])

BreakState = Literal["open", "proposed", "resolved"]
BreakKind = Literal["missing_here", "missing_there", "balance", "currency", "status"]
StateQuery = Annotated[list[BreakState] | None, Query(alias="state", description="may be repeated")]
KindQuery = Annotated[list[BreakKind] | None, Query(alias="kind", description="may be repeated")]


@router.post("/reconciliations", status_code=202, response_model=ReconciliationView, responses=WRITE_ERRORS)
async def start_reconciliation(
    who: RunsReconciliations, command: Command, services: ServicesDep, body: NewReconciliation | None = None
) -> JSONResponse:
    """Compare the agency's payments with Stripe's books now; 409 with the `run_id` while that is done."""
    return respond(await services.payment_reconciliations.start(who, command, body or NewReconciliation()))


@router.get("/reconciliations", responses=READ_ERRORS)
async def list_reconciliations(
    who: ReadsReconciliations, paging: Paging, services: ServicesDep
) -> Page[ReconciliationView]:
    """Reconciliations of the agency, newest first."""
    runs = await services.payment_reconciliations.page(who, paging.position(datetime, UUID), paging.limit)
    return paging.page(runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)


@router.get("/reconciliations/{run_id}", responses=READ_ERRORS)
async def get_reconciliation(
    run_id: UUID, who: ReadsReconciliations, services: ServicesDep
) -> ReconciliationView:
    """One reconciliation: how far it is, what it came to."""
    return await services.payment_reconciliations.get(who, run_id)


@router.get("/breaks", responses=READ_ERRORS)
async def list_breaks(
    who: ReadsReconciliations,
    paging: Paging,
    services: ServicesDep,
    state: StateQuery = None,
    kind: KindQuery = None,
) -> Page[ProcessorBreakView]:
    """Differences from Stripe's books that stay, newest first; they resolve themselves when they are gone."""
    rows = await services.payment_reconciliations.breaks(
        who, paging.position(UUID), paging.limit, states=state or (), kinds=kind or ()
    )
    return paging.page(rows, key=lambda row: (row.id,), render=ProcessorBreakView.model_validate)
