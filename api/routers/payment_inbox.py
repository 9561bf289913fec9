"""The inbox of provider events: what came, what became of it."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsReconciliations, RunsReconciliations, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.inbox import InboxEventView, MatchedView, MatchForm

router = APIRouter(prefix="/payments/inbox", tags=["payments"])

InboxStatus = Literal["received", "handled", "ignored", "unmatched", "failed"]
StatusQuery = Annotated[list[InboxStatus] | None, Query(alias="status", description="may be repeated")]


@router.get("", responses=READ_ERRORS)
async def list_events(
    who: ReadsReconciliations, paging: Paging, services: ServicesDep, status: StatusQuery = None
) -> Page[InboxEventView]:
    """Events of the payment provider, newest first, without their bodies."""
    rows = await services.inbox.page(who, status or (), paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=InboxEventView.model_validate)


@router.post("/{event_id}/match", status_code=202, response_model=MatchedView, responses=WRITE_ERRORS)
async def match_event(
    event_id: UUID, body: MatchForm, who: RunsReconciliations, command: Command, services: ServicesDep
) -> JSONResponse:
    """Say on whose account the money of an unmatched event belongs; it is posted there soon after."""
    return respond(await services.inbox.match(who, command, event_id, body))
