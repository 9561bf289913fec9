"""The worklist: what to work next."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.deps import ReadsAccounts, ServicesDep
from api.pagination import Page, Paging
from api.schemas.accounts import Rank
from api.schemas.common import READ_ERRORS
from db.worklist import Whose
from services.worklist import WorklistEntry

router = APIRouter(prefix="/worklist", tags=["accounts"])

Owner = Annotated[
    UUID | Literal["none"] | None, Query(description="a collector's id, or “none”: assigned to nobody")
]
ORDER = "worklist"


@router.get("", response_model=Page[WorklistEntry], responses=READ_ERRORS)
async def get_worklist(
    who: ReadsAccounts, paging: Paging, services: ServicesDep, collector: Owner = None
) -> Response:
    """Accounts to be worked, the most worth it first; a collector's are those assigned to them.

    Settled, closed, disputed and held accounts are not among them, nor those that owe nothing.
    """
    whose = Whose(nobody=True) if collector == "none" else Whose(collector)
    position = paging.position(Rank, UUID, order=ORDER)
    rows = await services.worklist.page(who, whose, position, paging.limit)
    return paging.json_page(rows, key=lambda row: row.key, render=lambda row: row.json, order=ORDER)
