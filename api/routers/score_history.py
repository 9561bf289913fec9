"""The history of an account's score: what it was when, and why."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.deps import ReadsAccounts, ServicesDep
from api.pagination import Page, Paging
from api.schemas.accounts import Rank, Until
from api.schemas.common import READ_ERRORS
from services.score_history import HistoricScore, ScoreOfDay

router = APIRouter(prefix="/accounts", tags=["accounts"])

At = Annotated[Until, Query(description="a day (to its end) or an instant; UTC unless it says")]


@router.get("/{account_id}/scores", responses=READ_ERRORS)
async def list_scores(
    account_id: UUID, who: ReadsAccounts, paging: Paging, services: ServicesDep
) -> Page[HistoricScore]:
    """Every score that the account had, newest first, with what it was made from."""
    position = paging.position(datetime, Rank)
    rows = await services.score_history.page(who, account_id, position, paging.limit)
    return paging.page(rows, key=lambda row: (row[0].scored_at, row[0].id), render=lambda row: row[1])


@router.get("/{account_id}/scores/at", responses=READ_ERRORS)
async def explain_score(account_id: UUID, at: At, who: ReadsAccounts, services: ServicesDep) -> ScoreOfDay:
    """Why the account scored what it did on a day, in words, from what was stored when it was scored.

    404 when it had no score yet.
    """
    return await services.score_history.at(who, account_id, at)
