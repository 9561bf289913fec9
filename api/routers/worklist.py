"""The worklist: what to work next."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.deps import ReadsAccounts, ServicesDep
from api.pagination import Page, Paging
from api.schemas.accounts import Rank
from api.schemas.common import READ_ERRORS
from api.schemas.worklist import WorklistQueryDep
from services.worklist import WorklistEntry

router = APIRouter(prefix="/worklist", tags=["accounts"])

ORDER = "worklist"


@router.get("", response_model=Page[WorklistEntry], responses=READ_ERRORS)
async def get_worklist(
    who: ReadsAccounts, query: WorklistQueryDep, paging: Paging, services: ServicesDep
) -> Response:
    """Accounts to be worked, the most worth it first; a collector's are those assigned to them.

    Settled, closed, disputed and held accounts are not among them, nor those that owe nothing.
    """
    position = paging.position(Rank, UUID, order=ORDER)
    rows = await services.worklist.page(who, query.wanted, position, paging.limit)
    return paging.json_page(rows, key=lambda row: row.key, render=lambda row: row.json, order=ORDER)
