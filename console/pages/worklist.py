"""The worklist: what to work next."""

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
from console.lists import page_of
from console.web import PagesDep, router, sees
from services.access import Right
from services.sessions import Visitor

pages = router()


@pages.get("/worklist")
async def worklist(
    request: Request,
    visitor: Annotated[Visitor, sees(Right.READ_ACCOUNTS)],
    query: WorklistQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Accounts in order of value, each with the reason why it stands there."""
    rows = await services.worklist.page(
        visitor.who, query.wanted, paging.position(Rank, UUID, order=ORDER), paging.limit
    )
    shown = page_of(
        paging, rows, key=lambda row: row.key, render=lambda row: json.loads(row.json), order=ORDER
    )
    return templates.page(request, "worklist.html", list=shown)
