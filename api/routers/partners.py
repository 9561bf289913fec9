"""Partners: who else keeps records of our accounts, what they say, and what they are sent."""

import json
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.partners import NewPartner, PartnerChange, PartnerView, RulesForm, RulesView
from services.partner_messages import MOST_MESSAGES, MessagesTaken

router = APIRouter(prefix="/partners", tags=["partners"])

VersionQuery = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="by default the newest")]

Messages = Annotated[
    list[Any],
    Body(
        min_length=1,
        max_length=MOST_MESSAGES,
        examples=[
            [
                {
                    "account_ref": "A-1001",
                    "balance": "750.00",
                    "status": "PARTIAL",
                    "processed_at": "2026-03-31T14:05:00Z",
                }
            ]
        ],
    ),
]


@router.get("", responses=READ_ERRORS)
async def list_partners(
    who: ReadsReconciliations, paging: Paging, services: ServicesDep
) -> Page[PartnerView]:
    """Partners of the agency, newest first."""
    rows = await services.partners.page(who, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=PartnerView.of)


@router.post("", status_code=201, response_model=PartnerView, responses=WRITE_ERRORS)
async def create_partner(
    body: NewPartner, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make a partner. Its name is that of its folder on the SFTP server, `/partners/<name>`."""
    return respond(await services.partners.create(who, command, body))


@router.get("/{partner_id}", responses=READ_ERRORS)
async def get_partner(partner_id: UUID, who: ReadsReconciliations, services: ServicesDep) -> PartnerView:
    """One partner; of its signing secret, only that it is there."""
    return await services.partners.get(who, partner_id)


@router.patch("/{partner_id}", response_model=PartnerView, responses=WRITE_ERRORS)
async def change_partner(
    partner_id: UUID, body: PartnerChange, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change a partner. Deactivated, it is sent nothing and no longer reconciled by schedule."""
    return respond(await services.partners.change(who, command, partner_id, body))


@router.get("/{partner_id}/rules", responses=READ_ERRORS)
async def get_rules(
    partner_id: UUID, who: ReadsReconciliations, services: ServicesDep, version: VersionQuery = None
) -> RulesView:
    """The partner's rules; 404 while none were ever set and the built-in ones hold."""
    return await services.partners.rules(who, partner_id, version)


@router.put("/{partner_id}/rules", response_model=RulesView, responses=WRITE_ERRORS)
async def put_rules(
    partner_id: UUID, body: RulesForm, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Set the partner's rules as a new version; what is wrong or contradicts itself is told with its line."""
    return respond(await services.partners.put_rules(who, command, partner_id, body))


@router.post("/{partner_id}/messages", response_model=MessagesTaken, responses=WRITE_ERRORS)
async def take_messages(
    partner_id: UUID,
    body: Messages,
    request: Request,
    who: RunsReconciliations,
    command: Command,
    services: ServicesDep,
) -> JSONResponse:
    """Take in what the partner says: each message is judged alone, and what is accepted is on record.

    An agency's message names an account by `account_ref` or `debtor_id` and says `balance`, `status`
    (`UNPAID`, `PARTIAL`, `PAID`) and `processed_at`; a bank's says `amount` and `paid_on` of a payment, with
    `payment_ref`, `account_ref` or `payer`. The same message again is a `duplicate` and changes nothing.
    """
    # Amounts that are JSON numbers are read again as what they say: as floats they would be others.
    exact = json.loads(await request.body(), parse_float=Decimal)
    return respond(await services.partner_messages.take(who, command, partner_id, exact))
