"""One account: who owes what, what the law lets one do now, what happened and what comes next."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import Response
from temporalio.service import RPCError

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.accounts import Rank
from console.lists import page_of
from console.payment_methods import sandbox_methods
from console.web import PagesDep, as_domain_error, router, sees
from domain.accounts import WORKABLE_STATUSES
from domain.errors import Unavailable
from domain.holds import OF_THE_PERSON
from services.access import Right
from services.account_possible import possible
from services.account_views import timeline_entry
from services.contact_views import ContactView
from services.sessions import Visitor

pages = router()
ReadsAccounts = Annotated[Visitor, sees(Right.READ_ACCOUNTS)]
FIRST_DUE_IN = timedelta(days=7)
MOST_COLLECTORS = 500


@pages.get("/accounts/{account_id}")
async def account(
    request: Request, account_id: UUID, visitor: ReadsAccounts, services: ServicesDep, templates: PagesDep
) -> Response:
    """One account, with everything to work it; what takes longer is fetched by the page itself."""
    overview = await services.account_overviews.get(visitor.who, account_id)
    today = datetime.now(ZoneInfo(visitor.time_zone)).date()
    return templates.page(
        request,
        "account.html",
        account=overview.account,
        overview=overview,
        may=possible(visitor.who, overview),
        today=today,
        first_due=today + FIRST_DUE_IN,
        personal_holds=OF_THE_PERSON,
        methods=sandbox_methods(request),
    )


@pages.get("/accounts/{account_id}/timeline")
async def timeline(
    request: Request,
    account_id: UUID,
    visitor: ReadsAccounts,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Everything that happened, newest first; a page more at a time."""
    position = paging.position(datetime, UUID)
    rows = await services.accounts.timeline(visitor.who, account_id, position, paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.at, row.id), render=timeline_entry)
    return templates.page(request, "account_timeline.html", list=shown, account_id=account_id)


@pages.get("/accounts/{account_id}/contacts")
async def contacts(
    request: Request,
    account_id: UUID,
    visitor: ReadsAccounts,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Contacts with what was said in them, newest first."""
    position = paging.position(datetime, UUID)
    rows = await services.contacts.page(visitor.who, account_id, position, paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.at, row.id), render=ContactView.model_validate)
    return templates.page(request, "account_contacts.html", list=shown, account_id=account_id)


@pages.get("/accounts/{account_id}/decisions")
async def decisions(
    request: Request,
    account_id: UUID,
    visitor: ReadsAccounts,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """What the law said to contacts, newest first; nothing is left out."""
    rows = await services.compliance.decisions(visitor.who, account_id, paging.position(Rank), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.number,), render=lambda row: row)
    return templates.page(request, "account_decisions.html", list=shown, account_id=account_id)


@pages.get("/accounts/{account_id}/workflow")
async def workflow(
    request: Request, account_id: UUID, visitor: ReadsAccounts, services: ServicesDep, templates: PagesDep
) -> Response:
    """What the account's process waits for; that Temporal is away takes nothing else from the page."""
    view, problem = None, ""
    try:
        view = await services.accounts.workflow(visitor.who, account_id)
    except (RPCError, Unavailable) as error:
        problem = as_domain_error(error).message
    return templates.page(
        request, "account_workflow.html", workflow=view, problem=problem, account_id=account_id
    )


@pages.get("/accounts/{account_id}/collectors")
async def collectors(
    request: Request,
    account_id: UUID,
    visitor: Annotated[Visitor, sees(Right.MANAGE_ACCOUNTS)],
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Whom the account can be given to."""
    account = await services.accounts.get(visitor.who, account_id)
    found = await services.collectors.page(visitor.who, None, MOST_COLLECTORS)
    people = sorted((one for one in found if one.active), key=lambda one: one.full_name)
    return templates.page(request, "account_collectors.html", account=account, collectors=people)


@pages.get("/accounts/{account_id}/debts")
async def debts(
    request: Request,
    account_id: UUID,
    visitor: Annotated[Visitor, sees(Right.REFUND_PAYMENTS)],
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """The debts of the same person that money owed back can be put on."""
    account = await services.accounts.get(visitor.who, account_id)
    debtor = await services.debtors.get(visitor.who, account.debtor.id)
    found = [
        one
        for one in debtor.accounts.results
        if one.current_balance > 0 and one.currency == account.currency and one.status in WORKABLE_STATUSES
    ]
    return templates.page(request, "account_debts.html", account=account, debts=found)
