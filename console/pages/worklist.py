"""The worklist: what to work next."""

import asyncio
import json
from typing import Annotated
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.routers.worklist import ORDER
from api.schemas.accounts import Rank
from api.schemas.worklist import WorklistQueryDep
from console.filters import count_address, names_to_pick
from console.lists import page_of
from console.rendering import words
from console.web import PagesDep, router, sees
from domain.accounts import WORKABLE_STATUSES, AccountStatus
from domain.scoring import RiskLevel
from services.access import Right
from services.sessions import Visitor

pages = router()
ReadsAccounts = Annotated[Visitor, sees(Right.READ_ACCOUNTS)]
STATUSES = [(status.value, words(status)) for status in AccountStatus if status in WORKABLE_STATUSES]
LEVELS = [(level.value, words(level.lower())) for level in reversed(RiskLevel)]


@pages.get("/worklist")
async def worklist(
    request: Request,
    visitor: ReadsAccounts,
    query: WorklistQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Accounts in order of value, each with the reason why it stands there."""
    position = paging.position(Rank, UUID, order=ORDER)
    rows, names = await asyncio.gather(
        services.worklist.page(visitor.who, query.wanted, position, paging.limit),
        names_to_pick(request, services, visitor),
    )
    shown = page_of(
        paging, rows, key=lambda row: row.key, render=lambda row: json.loads(row.json), order=ORDER
    )
    return templates.page(
        request,
        "worklist.html",
        list=shown,
        names=names,
        statuses=STATUSES,
        levels=LEVELS,
        count_address=count_address(request),
        sees_all=visitor.who.sees_only is None,
    )


@pages.get("/worklist/count")
async def count(
    request: Request,
    visitor: ReadsAccounts,
    query: WorklistQueryDep,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """How many accounts wait, as far as anybody wants to know."""
    found = await services.worklist.count(visitor.who, query.wanted)
    return templates.page(request, "accounts_count.html", found=found)
