"""Debtors: people and risk."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesDebtors, ReadsDebtors, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.accounts import Rank
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.debtors import DebtorQueryDep, HighRiskQueryDep
from services.debtor_forms import DebtorChange, DebtorForm, DebtorReplacement
from services.debtor_views import DebtorListed, DebtorScore, DebtorView, HighRiskListed, high_risk

router = APIRouter(prefix="/debtors", tags=["debtors"])

_HIGH_RISK = "high-risk"


@router.get("", responses=READ_ERRORS)
async def list_debtors(
    who: ReadsDebtors, query: DebtorQueryDep, paging: Paging, services: ServicesDep
) -> Page[DebtorListed]:
    """Debtors of the agency, newest first; a collector's are those of accounts assigned to them."""
    rows = await services.debtors.page(who, query.wanted, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.post("", status_code=201, response_model=DebtorView, responses=WRITE_ERRORS)
async def create_debtor(
    body: DebtorForm, who: ManagesDebtors, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make a debtor, whom files and placements then find by `debtor_ref`; one that is known is 409."""
    return respond(await services.debtors.create(who, command, body))


@router.get(f"/{_HIGH_RISK}", responses=READ_ERRORS)
async def list_debtors_at_high_risk(
    who: ReadsDebtors, query: HighRiskQueryDep, paging: Paging, services: ServicesDep
) -> Page[HighRiskListed]:
    """Debtors who owe on an account of risk level HIGH or CRITICAL, by their most valuable such account."""
    position = paging.position(Rank, UUID, order=_HIGH_RISK)
    rows = await services.debtors.high_risk(who, query.wanted, position, paging.limit)
    return paging.page(rows, key=lambda row: row.key, render=high_risk, order=_HIGH_RISK)


@router.get("/{debtor_id}", responses=READ_ERRORS)
async def get_debtor(debtor_id: UUID, who: ReadsDebtors, services: ServicesDep) -> DebtorView:
    """One debtor with what their accounts come to.

    The last four SSN digits are shown to agency administrators and to the collector of an account only.
    """
    return await services.debtors.get(who, debtor_id)


@router.put("/{debtor_id}", response_model=DebtorView, responses=WRITE_ERRORS)
async def replace_debtor(
    debtor_id: UUID, body: DebtorReplacement, who: ManagesDebtors, command: Command, services: ServicesDep
) -> JSONResponse:
    """Replace all that is known of a debtor: what is left out is cleared, but for the SSN digits.

    The debtor's accounts are scored anew. With a `version` that is not the present one, 409.
    """
    return respond(await services.debtors.change(who, command, debtor_id, body))


@router.patch("/{debtor_id}", response_model=DebtorView, responses=WRITE_ERRORS)
async def change_debtor(
    debtor_id: UUID, body: DebtorChange, who: ManagesDebtors, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change what is given; null clears. The debtor's accounts are scored anew.

    With a `version` that is not the present one, 409.
    """
    return respond(await services.debtors.change(who, command, debtor_id, body))


@router.get("/{debtor_id}/score", responses=READ_ERRORS)
async def explain_debtor_score(debtor_id: UUID, who: ReadsDebtors, services: ServicesDep) -> DebtorScore:
    """Why the debtor's accounts rank as they do, each factor in words; worked out now, nothing is written."""
    return await services.debtors.score(who, debtor_id)
