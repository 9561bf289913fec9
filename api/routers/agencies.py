"""Agencies: made and changed by the platform, seen by themselves, who set what they take and settle for."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import ChangesAgencies, Command, ManagesAgencies, ReadsAgencies, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.agencies import AgencyChange, AgencyView, NewAgency

router = APIRouter(prefix="/agencies", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def list_agencies(who: ReadsAgencies, paging: Paging, services: ServicesDep) -> Page[AgencyView]:
    """Agencies, newest first: all of them for a platform administrator, else one's own."""
    rows = await services.agencies.page(who, paging.position(datetime, UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.created_at, row.id), render=AgencyView.model_validate)


@router.post("", status_code=201, response_model=AgencyView, responses=WRITE_ERRORS)
async def create_agency(
    body: NewAgency, who: ManagesAgencies, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make an agency, its default creditor and its schedules."""
    return respond(await services.agencies.create(who, command, body))


@router.get("/{agency_id}", responses=READ_ERRORS)
async def get_agency(agency_id: UUID, who: ReadsAgencies, services: ServicesDep) -> AgencyView:
    """One agency."""
    return await services.agencies.get(who, agency_id)


@router.patch("/{agency_id}", response_model=AgencyView, responses=WRITE_ERRORS)
async def change_agency(
    agency_id: UUID, body: AgencyChange, who: ChangesAgencies, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change an agency; an inactive one lets nobody in and is worked no more.

    An agency's administrators may change `overpayments` and `least_settlement_percent` of their own, else
    403 with the `fields` that only the platform changes.
    """
    return respond(await services.agencies.change(who, command, agency_id, body))


@router.delete("/{agency_id}", response_model=AgencyView, responses=WRITE_ERRORS)
async def deactivate_agency(
    agency_id: UUID, who: ManagesAgencies, command: Command, services: ServicesDep
) -> JSONResponse:
    """Deactivate an agency; nothing of it is deleted."""
    return respond(await services.agencies.change(who, command, agency_id, AgencyChange(active=False)))
