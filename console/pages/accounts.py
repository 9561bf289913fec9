"""Accounts: the list, by all that it can be narrowed to."""

import asyncio
from typing import Annotated

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.accounts import AccountQueryDep
from console.filters import count_address, names_to_pick
from console.lists import page_of
from console.rendering import words
from console.web import PagesDep, router, sees
from db.accounts import position_key
from domain.accounts import AccountStatus, PromiseStatus
from domain.figures import AgingBucket
from domain.scoring import RiskLevel
from services.access import Right
from services.account_views import summary
from services.sessions import Visitor

pages = router()
ReadsAccounts = Annotated[Visitor, sees(Right.READ_ACCOUNTS)]
STATUSES = [(status.value, words(status)) for status in AccountStatus]
LEVELS = [(level.value, words(level.lower())) for level in reversed(RiskLevel)]
PROMISES = [(status.value, words(status)) for status in PromiseStatus]
AGES = [(bucket.value, words(bucket)) for bucket in AgingBucket]
PRIORITIES = ((3, "3, the most urgent"), (2, "2"), (1, "1"), (0, "0"))
ORDERS = (
    ("-created_at", "Newest first"),
    ("created_at", "Oldest first"),
    ("-priority_score", "Highest priority first"),
    ("priority_score", "Lowest priority first"),
    ("-balance", "Largest balance first"),
    ("balance", "Smallest balance first"),
    ("due_date", "Longest due first"),
    ("-due_date", "Latest due first"),
)


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
    rows, names = await asyncio.gather(
        services.accounts.page(visitor.who, query.wanted, query.order, query.position(paging), paging.limit),
        names_to_pick(request, services, visitor),
    )
    shown = page_of(
        paging, rows, key=lambda row: position_key(row, query.order), render=summary, order=query.order
    )
    return templates.page(
        request,
        "accounts.html",
        list=shown,
        names=names,
        statuses=STATUSES,
        levels=LEVELS,
        priorities=PRIORITIES,
        promises=PROMISES,
        ages=AGES,
        orders=ORDERS,
        order=query.order.value,
        wanted=query.wanted,
        count_address=count_address(request),
        sees_all=visitor.who.sees_only is None,
    )


@pages.get("/accounts/count")
async def count(
    request: Request,
    visitor: ReadsAccounts,
    query: AccountQueryDep,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """How many accounts there are, as far as anybody wants to know."""
    found = await services.accounts.count(visitor.who, query.wanted)
    return templates.page(request, "accounts_count.html", found=found)
