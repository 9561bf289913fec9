"""Compliance: the rules, and every decision that was made by them."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import ReadsAccounts, ServicesDep
from api.pagination import Page, Paging
from api.schemas.accounts import Rank
from api.schemas.common import READ_ERRORS
from services.compliance import RuleSetView
from services.contact_views import DecisionView

router = APIRouter(tags=["compliance"])


@router.get("/compliance/rules", responses=READ_ERRORS)
async def get_rules(who: ReadsAccounts, services: ServicesDep) -> RuleSetView:
    """The agency's rule set: each rule with its source and its numbers; and which sets are known."""
    return await services.compliance.rules(who)


@router.get("/accounts/{account_id}/decisions", responses=READ_ERRORS)
async def list_decisions(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[DecisionView]:
    """What the law said to contacts about an account, from which facts, newest first; nothing is left out."""
    rows = await services.compliance.decisions(who, account_id, paging.position(Rank), paging.limit)
    return paging.page(rows, key=lambda row: (row.number,), render=lambda row: row)
