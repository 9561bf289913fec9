"""Payment plans: what one would be, made, looked at, changed, ended."""

from datetime import date
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ReadsPayments, ServicesDep, TakesPayments, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from api.schemas.plans import PlanQueryDep, PreviewQuery
from services.plan_forms import PayEarlyForm, PlanDateForm, PlanEndForm, PlanForm
from services.plan_views import PlanDetail, PlanPreview, PlanSummary, UpcomingCollection

router = APIRouter(tags=["plans"])

_MADE_OR_NOT: dict[int | str, dict[str, Any]] = {
    200: {"model": PlanPreview, "description": "a preview: nothing was made"},
    202: {"model": PlanDetail, "description": "made; its payment method is yet to be kept at the provider"},
}


@router.post(
    "/accounts/{account_id}/plans",
    status_code=201,
    response_model=PlanDetail,
    responses={**WRITE_ERRORS, **_MADE_OR_NOT},
)
async def make_plan(
    account_id: UUID,
    body: PlanForm,
    who: TakesPayments,
    command: Command,
    services: ServicesDep,
    preview: PreviewQuery = False,
) -> JSONResponse:
    """Make a payment plan as the debtor agreed to it: of all that is owed, or of `total`, or of an offer.

    The account must be `negotiating`, or on a payment plan whose plan has ended. With a `payment_method` each
    instalment is charged to it; the copy of the agreement must have been sent (12 CFR 1005.10(b)). A payment
    method that the provider refuses is 422, with the plan that came to nothing. With `preview=true` only the
    schedule is answered (200).
    """
    if preview:
        shown = await services.plans.preview(who, account_id, body)
        return JSONResponse(shown.model_dump(mode="json"))
    return respond(await services.plans.make(who, command, account_id, body))


@router.get("/plans", responses=READ_ERRORS)
async def list_plans(
    who: ReadsPayments, query: PlanQueryDep, paging: Paging, services: ServicesDep
) -> Page[PlanSummary]:
    """Payment plans, newest first; a collector's are those on their accounts."""
    wanted = query.wanted
    rows = await services.plans.page(
        who, paging.position(UUID), paging.limit, account_id=wanted.account_id, statuses=wanted.statuses
    )
    return paging.page(rows, key=lambda row: (row.id,), render=lambda row: row)


@router.get("/plans/upcoming", responses=READ_ERRORS)
async def list_upcoming_collections(
    who: ReadsPayments, paging: Paging, services: ServicesDep
) -> Page[UpcomingCollection]:
    """Instalments that are charged three to ten business days from now, the furthest first.

    The time in which the payer of a post-dated payment is notified in writing (12 CFR 1006.22(c)(1)).
    """
    rows = await services.plans.upcoming(who, paging.position(date, UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.collect_on, row.id), render=lambda row: row)


@router.get("/plans/{plan_id}", responses=READ_ERRORS)
async def get_plan(plan_id: UUID, who: ReadsPayments, services: ServicesDep) -> PlanDetail:
    """One payment plan, with its instalments."""
    return await services.plans.get(who, plan_id)


@router.post("/plans/{plan_id}/pause", response_model=PlanDetail, responses=WRITE_ERRORS)
async def pause_plan(
    plan_id: UUID, who: TakesPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Ask for nothing, and miss nothing, until the plan is resumed; a payment under way goes on."""
    return respond(await services.plans.pause(who, command, plan_id))


@router.post("/plans/{plan_id}/resume", response_model=PlanDetail, responses=WRITE_ERRORS)
async def resume_plan(
    plan_id: UUID, who: TakesPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Go on: what came due during the pause is due later, in the plan's rhythm."""
    return respond(await services.plans.resume(who, command, plan_id))


@router.post("/plans/{plan_id}/cancel", response_model=PlanDetail, responses=WRITE_ERRORS)
async def cancel_plan(
    plan_id: UUID,
    who: TakesPayments,
    command: Command,
    services: ServicesDep,
    body: PlanEndForm | None = None,
) -> JSONResponse:
    """End the plan: nothing is asked for any more, however near the day was (12 CFR 1005.10(c)).

    What the bank has already goes on. The account is negotiated again.
    """
    return respond(await services.plans.cancel(who, command, plan_id, body or PlanEndForm()))


@router.post("/plans/{plan_id}/change-date", response_model=PlanDetail, responses=WRITE_ERRORS)
async def change_date(
    plan_id: UUID, body: PlanDateForm, who: TakesPayments, command: Command, services: ServicesDep
) -> JSONResponse:
    """Have the next instalment due on another day, tomorrow to 90 ahead; the others follow in their rhythm.

    Where one is due earlier by it than was agreed, the debtor must have agreed to that, too, and where they
    are charged have been sent a copy (12 CFR 1005.10(b)).
    """
    return respond(await services.plans.change_date(who, command, plan_id, body))


@router.post("/plans/{plan_id}/pay-early", status_code=202, response_model=PlanDetail, responses=WRITE_ERRORS)
async def pay_early(
    plan_id: UUID,
    who: TakesPayments,
    command: Command,
    services: ServicesDep,
    body: PayEarlyForm | None = None,
) -> JSONResponse:
    """Ask for the next instalment now, by the plan's method or by another one that the debtor gives.

    The plan's method may be declined three times for it, days apart (409 with `again_on`). A decline before
    the day agreed on changes nothing: it is due then, as before.
    """
    return respond(await services.plans.pay_early(who, command, plan_id, body or PayEarlyForm()))
