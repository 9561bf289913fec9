"""Scoring: runs over all accounts of an agency, and the scorecards they go by."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse

from api.deps import Command, ReadsScoring, RunsScoring, ServicesDep, respond
from api.events import ListenerDep
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.scoring import ScorecardList, StatusQuery
from services.scoring_runs import NewScoringRun
from services.scoring_views import ScoringErrorView, ScoringRunView, error_view

router = APIRouter(tags=["scoring"])


@router.post("/scoring/runs", status_code=202, response_model=ScoringRunView, responses=WRITE_ERRORS)
async def start_run(
    who: RunsScoring, command: Command, services: ServicesDep, body: NewScoringRun | None = None
) -> JSONResponse:
    """Score all accounts of the agency now; 409 with the `run_id` while another run is going."""
    return respond(await services.scoring_runs.start(who, command, body or NewScoringRun()))


@router.get("/scoring/runs", responses=READ_ERRORS)
async def list_runs(
    who: ReadsScoring, paging: Paging, services: ServicesDep, status: StatusQuery = None
) -> Page[ScoringRunView]:
    """Scoring runs of the agency, newest first."""
    runs = await services.scoring_runs.page(who, status or (), paging.position(datetime, UUID), paging.limit)
    return paging.page(runs, key=lambda run: (run.created_at, run.id), render=lambda run: run)


@router.get("/scoring/runs/{run_id}", responses=READ_ERRORS)
async def get_run(run_id: UUID, who: ReadsScoring, services: ServicesDep) -> ScoringRunView:
    """One scoring run: how far it is, what it came to."""
    return await services.scoring_runs.get(who, run_id)


@router.get("/scoring/runs/{run_id}/errors", responses=READ_ERRORS)
async def list_errors(
    run_id: UUID, who: ReadsScoring, paging: Paging, services: ServicesDep
) -> Page[ScoringErrorView]:
    """Accounts that the run could not score, and why; their former scores stand."""
    rows = await services.scoring_runs.errors(
        who, run_id, paging.position(UUID, order="account"), paging.limit
    )
    return paging.page(rows, key=lambda row: (row.account_id,), render=error_view, order="account")


@router.get(
    "/scoring/runs/{run_id}/events",
    response_class=EventSourceResponse,
    responses={**READ_ERRORS, 204: {"description": "the run has ended and you know how"}},
)
async def follow_run(
    run_id: UUID, who: ReadsScoring, services: ServicesDep, listener: ListenerDep
) -> Response:
    """Progress as server-sent events, one for each change, ending with ``completed`` or ``failed``."""
    runs, run = services.scoring_runs, await services.scoring_runs.get(who, run_id)
    return listener.stream(runs.events, who.tenant.agency_id, run_id, run, view=lambda seen: seen)


@router.get("/scorecards", responses=READ_ERRORS)
async def list_scorecards(who: ReadsScoring, services: ServicesDep) -> ScorecardList:
    """Every scorecard that an agency can choose: its factors, weights, points and levels."""
    return ScorecardList(results=services.scoring_runs.scorecards(who))
