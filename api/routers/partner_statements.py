"""What partners have stated, and which of its lines could not be read."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import ReadsReconciliations, ServicesDep
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS
from services.partner_statements import StatementProblemView, StatementView

router = APIRouter(tags=["partners"])

StatementState = Literal["open", "staged", "closed", "refused"]
StateQuery = Annotated[list[StatementState] | None, Query(alias="state", description="may be repeated")]
Line = Annotated[int, Field(ge=-(2**31), lt=2**31)]


@router.get("/partners/{partner_id}/statements", responses=READ_ERRORS)
async def list_statements(
    partner_id: UUID,
    who: ReadsReconciliations,
    paging: Paging,
    services: ServicesDep,
    state: StateQuery = None,
) -> Page[StatementView]:
    """The partner's statements, newest first: files, and messages by the reconciliation that took them."""
    rows = await services.partner_statements.page(
        who, partner_id, paging.position(UUID), paging.limit, states=state or ()
    )
    return paging.page(rows, key=lambda row: (row.id,), render=StatementView.of)


@router.get("/statements/{statement_id}", responses=READ_ERRORS)
async def get_statement(
    statement_id: UUID, who: ReadsReconciliations, services: ServicesDep
) -> StatementView:
    """One statement: how much of it could be read, and why it was refused, if it was."""
    return await services.partner_statements.get(who, statement_id)


@router.get("/statements/{statement_id}/problems", responses=READ_ERRORS)
async def list_statement_problems(
    statement_id: UUID, who: ReadsReconciliations, paging: Paging, services: ServicesDep
) -> Page[StatementProblemView]:
    """The lines that could not be read, from the first on; the reconciliation goes on without them."""
    rows = await services.partner_statements.problems(
        who, statement_id, paging.position(Line, order="line"), paging.limit
    )
    return paging.page(rows, key=lambda row: (row.line,), render=StatementProblemView.of, order="line")
