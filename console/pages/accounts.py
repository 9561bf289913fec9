"""Accounts: the list, and one account with everything to work it."""

from typing import Annotated

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.accounts import AccountQueryDep
from console.lists import page_of
from console.web import PagesDep, router, sees
from db.accounts import position_key
from domain.accounts import AccountStatus
from services.access import Right
from services.account_views import summary
from services.sessions import Visitor

pages = router()
ReadsAccounts = Annotated[Visitor, sees(Right.READ_ACCOUNTS)]


@pages.get("/accounts")
async def accounts(
    request: Request,
    visitor: ReadsAccounts,
    query: AccountQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Accounts of the agency, or a collector's own."""
    rows = await services.accounts.page(
        visitor.who, query.wanted, query.order, query.position(paging), paging.limit
    )
    shown = page_of(
        paging, rows, key=lambda row: position_key(row, query.order), render=summary, order=query.order
    )
    return templates.page(request, "accounts.html", list=shown, statuses=list(AccountStatus))
