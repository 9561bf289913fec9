"""Scoring: runs over all accounts, what they came to, and what the family situation changes in them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.events import LastEventId
from api.pagination import Paging
from api.schemas.scoring import ScoringStatus, StatusQuery
from console.forms import FormCommand, filled
from console.lists import page_of
from console.live import live
from console.notices import done
from console.web import PagesDep, router, sees
from services.access import Right
from services.progress import ENDS
from services.scoring_runs import NewScoringRun
from services.scoring_views import error_view
from services.sessions import Visitor

if TYPE_CHECKING:
    from services.scoring_views import ScoringRunView

pages = router()
ReadsScoring = Annotated[Visitor, sees(Right.READ_SCORING)]
RunsScoring = Annotated[Visitor, sees(Right.RUN_SCORING)]


@pages.get("/scoring")
async def runs(
    request: Request,
    visitor: ReadsScoring,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
    status: StatusQuery = None,
) -> Response:
    """Scoring runs, newest first."""
    found = await services.scoring_runs.page(
        visitor.who, status or (), paging.position(datetime, UUID), paging.limit
    )
    shown = page_of(paging, found, key=lambda run: (run.created_at, run.id), render=lambda run: run)
    return templates.page(
        request,
        "scoring.html",
        list=shown,
        going=[run for run in shown.results if run.status not in ENDS],
        statuses=list(ScoringStatus),
        may_run=visitor.who.may(Right.RUN_SCORING),
        key=uuid4().hex,
    )


@pages.post("/scoring")
async def start(
    request: Request, visitor: RunsScoring, command: FormCommand, services: ServicesDep
) -> Response:
    """Score all accounts of the agency now."""
    form = await filled(request, NewScoringRun)
    answer = await services.scoring_runs.start(visitor.who, command, form)
    return done(f"/scoring/runs/{answer.body['id']}", "All accounts are being scored")


@pages.get("/scoring/fairness")
async def fairness(
    request: Request, visitor: ReadsScoring, services: ServicesDep, templates: PagesDep
) -> Response:
    """What leaving the family situation out would change."""
    return templates.page(request, "fairness.html", report=await services.fairness.report(visitor.who))


@pages.get("/scoring/runs/{run_id}")
async def run(
    request: Request,
    run_id: UUID,
    visitor: ReadsScoring,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """One run: how far it is, what it came to, and the accounts that it could not score."""
    found = await services.scoring_runs.get(visitor.who, run_id)
    rows = await services.scoring_runs.errors(
        visitor.who, run_id, paging.position(UUID, order="account"), paging.limit
    )
    errors = page_of(paging, rows, key=lambda row: (row.account_id,), render=error_view, order="account")
    return templates.page(request, "scoring_run.html", run=found, errors=errors, live=False)


@pages.get("/scoring/runs/{run_id}/live")
async def follow(
    run_id: UUID,
    visitor: ReadsScoring,
    services: ServicesDep,
    templates: PagesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """A run's progress, with every change until it ends."""
    service, now = services.scoring_runs, await services.scoring_runs.get(visitor.who, run_id)

    def render(seen: "ScoringRunView") -> str:
        return templates.fragment("_scoring_progress.html", visitor, run=seen, live=True)

    return live(
        service.events,
        visitor,
        run_id,
        render=render,
        after=last_event_id,
        watch=services.sessions.watch,
        now=now,
    )
