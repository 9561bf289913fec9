"""Reconciliations: runs with partners and with Stripe, and events that nobody knows the payment of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from api.deps import ServicesDep
from api.pagination import Paging
from console.forms import FormCommand, filled
from console.lists import page_of
from console.notices import done
from console.web import PagesDep, router, sees
from db.breaks import BreakFilter
from services.access import Right
from services.inbox import InboxEventView, MatchForm
from services.partner_reconciliations import NewPartnerReconciliation
from services.payment_reconciliations import NewReconciliation
from services.sessions import Visitor

pages = router()
Reads = Annotated[Visitor, sees(Right.READ_RECONCILIATIONS)]
Runs = Annotated[Visitor, sees(Right.RUN_RECONCILIATIONS)]
PARTNERS_SHOWN = 100


@pages.get("/reconciliation/runs")
async def runs(
    request: Request,
    visitor: Reads,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
    partner_id: UUID | None = None,
) -> Response:
    """Reconciliations with partners, newest first."""
    found = await services.partner_reconciliations.page(
        visitor.who, paging.position(datetime, UUID), paging.limit, partner_id=partner_id, statuses=()
    )
    partners = await services.partners.page(visitor.who, None, PARTNERS_SHOWN)
    return templates.page(
        request,
        "reconciliation_runs.html",
        list=page_of(paging, found, key=lambda run: (run.created_at, run.id), render=lambda run: run),
        partners={partner.id: partner.name for partner in partners},
        active=[partner for partner in partners if partner.active],
        may_run=visitor.who.may(Right.RUN_RECONCILIATIONS),
        key=uuid4().hex,
    )


@pages.post("/reconciliation/partners/{partner_id}/runs")
async def start(
    request: Request, partner_id: UUID, visitor: Runs, command: FormCommand, services: ServicesDep
) -> Response:
    """Compare a partner's records with ours now."""
    form = await filled(request, NewPartnerReconciliation)
    answer = await services.partner_reconciliations.start(visitor.who, command, partner_id, form)
    return done(f"/reconciliation/runs/{answer.body['id']}", "The reconciliation is under way.")


@pages.get("/reconciliation/runs/{run_id}")
async def run(
    request: Request,
    run_id: UUID,
    visitor: Reads,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """What one reconciliation came to, and its breaks."""
    report = await services.partner_reports.report(visitor.who, run_id)
    partner = await services.partners.get(visitor.who, report.run.partner_id)
    rows = await services.breaks.page(
        visitor.who, paging.position(UUID), paging.limit, BreakFilter(run_id=run_id)
    )
    return templates.page(
        request,
        "reconciliation_run.html",
        report=report,
        run=report.run,
        partner=partner,
        list=page_of(paging, rows, key=lambda row: (row.id,), render=lambda row: row),
    )


@pages.get("/reconciliation/runs/{run_id}/breaks.csv")
async def run_as_file(run_id: UUID, visitor: Reads, services: ServicesDep) -> Response:
    """The breaks of a run as a CSV file."""
    return StreamingResponse(
        await services.partner_reports.rows(visitor.who, run_id),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="reconciliation-{run_id}.csv"'},
    )


@pages.get("/reconciliation/stripe")
async def stripe_runs(
    request: Request, visitor: Reads, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Reconciliations with Stripe, newest first, and events whose payment nobody knows."""
    found = await services.payment_reconciliations.page(
        visitor.who, paging.position(datetime, UUID), paging.limit
    )
    events = await services.inbox.page(visitor.who, ("unmatched", "failed"), None, PARTNERS_SHOWN)
    return templates.page(
        request,
        "reconciliation_stripe.html",
        list=page_of(paging, found, key=lambda run: (run.created_at, run.id), render=lambda run: run),
        events=[InboxEventView.model_validate(event) for event in events],
        may_run=visitor.who.may(Right.RUN_RECONCILIATIONS),
        key=uuid4().hex,
    )


@pages.post("/reconciliation/stripe")
async def start_stripe(
    request: Request, visitor: Runs, command: FormCommand, services: ServicesDep
) -> Response:
    """Compare the agency's payments with Stripe's books now."""
    form = await filled(request, NewReconciliation)
    await services.payment_reconciliations.start(visitor.who, command, form)
    return done("/reconciliation/stripe", "The reconciliation with Stripe is under way.")


@pages.post("/reconciliation/events/{event_id}/match")
async def match(
    request: Request, event_id: UUID, visitor: Runs, command: FormCommand, services: ServicesDep
) -> Response:
    """Say on whose account the money of an event belongs."""
    form = await filled(request, MatchForm)
    answer = await services.inbox.match(visitor.who, command, event_id, form)
    return done(f"/payments/{answer.body['payment_id']}", "The money is posted to this account now.")
