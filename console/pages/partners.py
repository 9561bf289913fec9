"""Partners: who else keeps records of our accounts, what they stated and what they were sent."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.routers.partner_statements import Line
from console.forms import FormCommand, filled
from console.lists import page_of
from console.notices import done
from console.web import PagesDep, router, sees
from domain.errors import NotFound
from services.access import Right
from services.onboarding.partners import PartnerView
from services.partner_statements import StatementProblemView, StatementView
from services.partner_syncs import NewSync
from services.sessions import Visitor

pages = router()
Reads = Annotated[Visitor, sees(Right.READ_RECONCILIATIONS)]
Runs = Annotated[Visitor, sees(Right.RUN_RECONCILIATIONS)]
LATEST = 10


@pages.get("/reconciliation/partners")
async def partners(
    request: Request, visitor: Reads, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Partners of the agency, newest first."""
    rows = await services.partners.page(visitor.who, paging.position(UUID), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=PartnerView.of)
    return templates.page(
        request, "partners.html", list=shown, may_manage=visitor.who.may(Right.MANAGE_SETTINGS)
    )


@pages.get("/reconciliation/partners/{partner_id}")
async def partner(
    request: Request, partner_id: UUID, visitor: Reads, services: ServicesDep, templates: PagesDep
) -> Response:
    """One partner: what was agreed with it, what it stated last, what it was sent last."""
    who = visitor.who
    found = await services.partners.get(who, partner_id)
    try:
        rules = await services.partners.rules(who, partner_id, None)
    except NotFound:
        rules = None
    statements = await services.partner_statements.page(who, partner_id, None, LATEST, states=())
    return templates.page(
        request,
        "partner.html",
        partner=found,
        rules=rules,
        statements=[StatementView.of(one) for one in statements],
        syncs=await services.partner_syncs.page(who, partner_id, None, LATEST),
        runs=await services.partner_reconciliations.page(
            who, None, LATEST, partner_id=partner_id, statuses=()
        ),
        may_manage=who.may(Right.MANAGE_SETTINGS),
        may_run=who.may(Right.RUN_RECONCILIATIONS) and found.active,
        keys={name: uuid4().hex for name in ("sync", "run")},
    )


@pages.post("/reconciliation/partners/{partner_id}/syncs")
async def send(
    request: Request, partner_id: UUID, visitor: Runs, command: FormCommand, services: ServicesDep
) -> Response:
    """Send the partner its accounts of high priority now."""
    form = await filled(request, NewSync)
    answer = await services.partner_syncs.start(visitor.who, command, partner_id, form)
    return done(f"/reconciliation/syncs/{answer.body['id']}", "The accounts are being sent.")


@pages.get("/reconciliation/syncs/{sync_id}")
async def sync(
    request: Request, sync_id: UUID, visitor: Reads, services: ServicesDep, templates: PagesDep
) -> Response:
    """One sending with the delivery record of each batch."""
    found = await services.partner_syncs.get(visitor.who, sync_id)
    owner = await services.partners.get(visitor.who, found.partner_id)
    return templates.page(request, "partner_sync.html", sync=found, partner=owner)


@pages.get("/reconciliation/statements/{statement_id}")
async def statement(
    request: Request,
    statement_id: UUID,
    visitor: Reads,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """One statement, and its lines that could not be read."""
    found = await services.partner_statements.get(visitor.who, statement_id)
    rows = await services.partner_statements.problems(
        visitor.who, statement_id, paging.position(Line, order="line"), paging.limit
    )
    return templates.page(
        request,
        "partner_statement.html",
        statement=found,
        partner=await services.partners.get(visitor.who, found.partner_id),
        list=page_of(paging, rows, key=lambda row: (row.line,), render=StatementProblemView.of, order="line"),
    )
