"""Fairness: what the family situation changes in the agency's scores."""

from fastapi import APIRouter

from api.deps import ReadsScoring, ServicesDep
from api.schemas.common import READ_ERRORS
from services.fairness import FairnessReport

router = APIRouter(prefix="/scoring/fairness", tags=["scoring"])


@router.get("", responses=READ_ERRORS)
async def get_fairness(who: ReadsScoring, services: ServicesDep) -> FairnessReport:
    """The scorecards with and without the family situation, over every account that owes.

    By group: mean total, share of HIGH and CRITICAL, share of high priority and its ratio to the highest
    group's. Worked out as the accounts are now; nothing is written.
    """
    return await services.fairness.report(who)
