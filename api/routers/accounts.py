"""Accounts: what is placed with the agency."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, CreatesAccounts, ReadsAccounts, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.accounts import AccountQueryDep
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from db.accounts import position_key
from services.account_views import (
    AccountDetail,
    AccountSummary,
    TimelineEntry,
    summary,
    timeline_entry,
)
from services.lifecycle_view import WorkflowView
from services.placing import PlacementForm

router = APIRouter(prefix="/accounts", tags=["accounts"])


@router.get("", responses=READ_ERRORS)
async def list_accounts(
    who: ReadsAccounts, query: AccountQueryDep, paging: Paging, services: ServicesDep
) -> Page[AccountSummary]:
    """Accounts of the agency, newest first unless said; a collector's are those assigned to them."""
    rows = await services.accounts.page(who, query.wanted, query.order, query.position(paging), paging.limit)
    return paging.page(
        rows, key=lambda row: position_key(row, query.order), render=summary, order=query.order
    )


@router.post("", status_code=201, response_model=AccountDetail, responses=WRITE_ERRORS)
async def place_account(
    body: PlacementForm, who: CreatesAccounts, command: Command, services: ServicesDep
) -> JSONResponse:
    """Place one account by hand, scored at once. A reference that its creditor has placed before is 409."""
    return respond(await services.accounts.create(who, command, body))


@router.get("/{account_id}", responses=READ_ERRORS)
async def get_account(account_id: UUID, who: ReadsAccounts, services: ServicesDep) -> AccountDetail:
    """One account with its debtor and its score in words.

    The last four SSN digits are shown to agency administrators and to the account's collector only.
    """
    return await services.accounts.get(who, account_id)


@router.get("/{account_id}/timeline", responses=READ_ERRORS)
async def get_timeline(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[TimelineEntry]:
    """Everything that happened to an account, newest first."""
    position = paging.position(datetime, UUID)
    rows = await services.accounts.timeline(who, account_id, position, paging.limit)
    return paging.page(rows, key=lambda row: (row.at, row.id), render=timeline_entry)


@router.get("/{account_id}/workflow", responses=READ_ERRORS)
async def get_workflow(account_id: UUID, who: ReadsAccounts, services: ServicesDep) -> WorkflowView:
    """What the account's process waits for; ``not_started`` before it was admitted."""
    return await services.accounts.workflow(who, account_id)
