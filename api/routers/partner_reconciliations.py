"""Reconciliations with partners: start one, see how far it is and what it came to."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.partner_reconciliations import NewPartnerReconciliation, PartnerReconciliationView

router = APIRouter(tags=["reconciliation"])

RunStatus = Literal["pending", "running", "completed", "failed"]
StatusQuery = Annotated[list[RunStatus] | None, Query(alias="status", description="may be repeated")]
PartnerQuery = Annotated[UUID | None, Query(alias="partner", description="only with this partner")]


@router.post(
    "/partners/{partner_id}/reconciliations",
    status_code=202,
    response_model=PartnerReconciliationView,
    responses=WRITE_ERRORS,
)
async def start_reconciliation(
    partner_id: UUID,
    who: RunsReconciliations,
    command: Command,
    services: ServicesDep,
    body: NewPartnerReconciliation | None = None,
) -> JSONResponse:
    """Compare the partner's records with ours now; 409 with the `run_id` while that is done."""
    form = body or NewPartnerReconciliation()
    return respond(await services.partner_reconciliations.start(who, command, partner_id, form))


@router.get("/reconciliations", responses=READ_ERRORS)
async def list_reconciliations(
    who: ReadsReconciliations,
    paging: Paging,
    services: ServicesDep,
    partner: PartnerQuery = None,
    status: StatusQuery = None,
) -> Page[PartnerReconciliationView]:
    """Reconciliations with partners, newest first."""
    runs = await services.partner_reconciliations.page(
        who, paging.position(datetime, UUID), paging.limit, partner_id=partner, statuses=status or ()
    )
    return paging.page(runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)


@router.get("/reconciliations/{run_id}", responses=READ_ERRORS)
async def get_reconciliation(
    run_id: UUID, who: ReadsReconciliations, services: ServicesDep
) -> PartnerReconciliationView:
    """One reconciliation: how far it is, what it came to."""
    return await services.partner_reconciliations.get(who, run_id)
