"""Reconciliations with partners: start one, see how far it is and what it came to."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from api.deps import Command, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from db.breaks import BreakFilter
from domain.reconciliation import BreakKind
from services.break_views import BreakView
from services.partner_reconciliations import NewPartnerReconciliation, PartnerReconciliationView
from services.partner_reports import PartnerReconciliationReport

router = APIRouter(tags=["reconciliation"])

RunStatus = Literal["pending", "running", "completed", "failed"]
StatusQuery = Annotated[list[RunStatus] | None, Query(alias="status", description="may be repeated")]
PartnerQuery = Annotated[UUID | None, Query(description="only with this partner")]
BreakState = Literal["open", "proposed", "resolved"]
StateQuery = Annotated[list[BreakState] | None, Query(alias="state", description="may be repeated")]
KindQuery = Annotated[list[BreakKind] | None, Query(alias="kind", description="may be repeated")]


ReportFormat = Literal["json", "csv"]
FormatQuery = Annotated[
    ReportFormat | None, Query(alias="format", description="else as `Accept` says; JSON by default")
]
Accept = Annotated[str, Header(include_in_schema=False)]
CSV = "text/csv"


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
    partner_id: PartnerQuery = None,
    status: StatusQuery = None,
) -> Page[PartnerReconciliationView]:
    """Reconciliations with partners, newest first."""
    runs = await services.partner_reconciliations.page(
        who, paging.position(datetime, UUID), paging.limit, partner_id=partner_id, statuses=status or ()
    )
    return paging.page(runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)


@router.get("/reconciliations/{run_id}", responses=READ_ERRORS)
async def get_reconciliation(
    run_id: UUID, who: ReadsReconciliations, services: ServicesDep
) -> PartnerReconciliationView:
    """One reconciliation: how far it is, what it came to."""
    return await services.partner_reconciliations.get(who, run_id)


@router.get("/reconciliations/{run_id}/breaks", responses=READ_ERRORS)
async def list_breaks_of_run(
    run_id: UUID,
    who: ReadsReconciliations,
    paging: Paging,
    services: ServicesDep,
    state: StateQuery = None,
    kind: KindQuery = None,
) -> Page[BreakView]:
    """Differences that the reconciliation has found, new or there still, newest first.

    They are shown as they are now. Of runs before the partner's 100 newest, only those that it opened, or was
    the last to find.
    """
    await services.partner_reconciliations.get(who, run_id)
    wanted = BreakFilter(run_id=run_id, states=state or (), kinds=kind or ())
    rows = await services.breaks.page(who, paging.position(UUID), paging.limit, wanted)
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.get(
    "/reconciliations/{run_id}/report",
    response_model=PartnerReconciliationReport,
    responses={**READ_ERRORS, 200: {"content": {CSV: {}}}},
)
async def get_report(
    run_id: UUID,
    who: ReadsReconciliations,
    services: ServicesDep,
    report: FormatQuery = None,
    accept: Accept = "*/*",
) -> PartnerReconciliationReport | Response:
    """What the reconciliation came to: figures as JSON, or the breaks listed with it as a CSV file."""
    if report == "csv" or (report is None and _prefers_csv(accept)):
        return StreamingResponse(
            await services.partner_reports.rows(who, run_id),
            media_type=CSV,
            headers={"Content-Disposition": f'attachment; filename="reconciliation-{run_id}.csv"'},
        )
    return await services.partner_reports.report(who, run_id)


def _prefers_csv(accept: str) -> bool:
    """Whether CSV is asked for by name, and JSON is not."""
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return CSV in named and "application/json" not in named
