"""Creditors: whose debts are placed."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsSettings, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.creditors import CreditorChange, CreditorView, NewCreditor

router = APIRouter(prefix="/creditors", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def list_creditors(who: ReadsSettings, paging: Paging, services: ServicesDep) -> Page[CreditorView]:
    """Creditors of the agency, newest first."""
    rows = await services.creditors.page(who, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=CreditorView.model_validate)


@router.post("", status_code=201, response_model=CreditorView, responses=WRITE_ERRORS)
async def create_creditor(
    body: NewCreditor, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make a creditor; as the default it takes the place of the present one."""
    return respond(await services.creditors.create(who, command, body))


@router.get("/{creditor_id}", responses=READ_ERRORS)
async def get_creditor(creditor_id: UUID, who: ReadsSettings, services: ServicesDep) -> CreditorView:
    """One creditor."""
    return await services.creditors.get(who, creditor_id)


@router.patch("/{creditor_id}", response_model=CreditorView, responses=WRITE_ERRORS)
async def change_creditor(
    creditor_id: UUID, body: CreditorChange, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change a creditor; the agency always has exactly one default."""
    return respond(await services.creditors.change(who, command, creditor_id, body))


@router.delete("/{creditor_id}", response_model=CreditorView, responses=WRITE_ERRORS)
async def deactivate_creditor(
    creditor_id: UUID, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Deactivate a creditor; the default one stays."""
    return respond(await services.creditors.change(who, command, creditor_id, CreditorChange(active=False)))
