"""Payment plans: the list, what is charged soon, and one with its instalments and what may be done to it."""

from datetime import date
from typing import Annotated, get_args
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.plans import PlanQueryDep, PlanStatus
from console.forms import FormCommand, filled
from console.lists import page_of
from console.notices import done
from console.rendering import words
from console.web import PagesDep, router, sees
from services.access import Right
from services.plan_forms import PayEarlyForm, PlanDateForm, PlanEndForm
from services.sessions import Visitor

pages = router()
ReadsPlans = Annotated[Visitor, sees(Right.READ_PAYMENTS)]
ManagesPlans = Annotated[Visitor, sees(Right.TAKE_PAYMENTS)]
LIVE = frozenset({"active", "paused"})
STATUSES = [(status, words(status)) for status in get_args(PlanStatus)]


@pages.get("/plans")
async def plans(
    request: Request,
    visitor: ReadsPlans,
    query: PlanQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Payment plans, newest first."""
    wanted = query.wanted
    rows = await services.plans.page(
        visitor.who,
        paging.position(UUID),
        paging.limit,
        account_id=wanted.account_id,
        statuses=wanted.statuses,
    )
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=lambda row: row)
    names = await services.accounts.names(visitor.who, {row.account_id for row in shown.results})
    return templates.page(request, "plans.html", list=shown, names=names, statuses=STATUSES)


@pages.get("/plans/upcoming")
async def upcoming(
    request: Request, visitor: ReadsPlans, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Instalments that are charged soon, whose payers are notified now (12 CFR 1006.22(c)(1))."""
    rows = await services.plans.upcoming(visitor.who, paging.position(date, UUID), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.collect_on, row.id), render=lambda row: row)
    names = await services.accounts.names(visitor.who, {row.account_id for row in shown.results})
    return templates.page(request, "plans_upcoming.html", list=shown, names=names)


@pages.get("/plans/{plan_id}")
async def plan(
    request: Request, plan_id: UUID, visitor: ReadsPlans, services: ServicesDep, templates: PagesDep
) -> Response:
    """One payment plan, with its instalments."""
    found = await services.plans.get(visitor.who, plan_id)
    return templates.page(
        request,
        "plan.html",
        plan=found,
        account=await services.accounts.get(visitor.who, found.account_id),
        can_change=visitor.who.may(Right.TAKE_PAYMENTS) and found.status in LIVE,
        keys={name: uuid4().hex for name in ("pause", "resume", "cancel", "date", "early")},
    )


@pages.post("/plans/{plan_id}/pause")
async def pause(
    plan_id: UUID, visitor: ManagesPlans, command: FormCommand, services: ServicesDep
) -> Response:
    """Ask for nothing until the plan is resumed."""
    await services.plans.pause(visitor.who, command, plan_id)
    return done(f"/plans/{plan_id}", "The plan is paused: nothing is asked for, nothing counts as missed.")


@pages.post("/plans/{plan_id}/resume")
async def resume(
    plan_id: UUID, visitor: ManagesPlans, command: FormCommand, services: ServicesDep
) -> Response:
    """Go on."""
    await services.plans.resume(visitor.who, command, plan_id)
    return done(f"/plans/{plan_id}", "The plan goes on; what came due meanwhile is due later.")


@pages.post("/plans/{plan_id}/cancel")
async def cancel(
    request: Request, plan_id: UUID, visitor: ManagesPlans, command: FormCommand, services: ServicesDep
) -> Response:
    """End the plan (12 CFR 1005.10(c))."""
    form = await filled(request, PlanEndForm)
    await services.plans.cancel(visitor.who, command, plan_id, form)
    return done(f"/plans/{plan_id}", "The plan has ended; the account is negotiated again.")


@pages.post("/plans/{plan_id}/change-date")
async def change_date(
    request: Request, plan_id: UUID, visitor: ManagesPlans, command: FormCommand, services: ServicesDep
) -> Response:
    """Have the next instalment due on another day."""
    form = await filled(request, PlanDateForm)
    await services.plans.change_date(visitor.who, command, plan_id, form)
    return done(f"/plans/{plan_id}", "The next instalment is due on another day; the others follow.")


@pages.post("/plans/{plan_id}/pay-early")
async def pay_early(
    request: Request, plan_id: UUID, visitor: ManagesPlans, command: FormCommand, services: ServicesDep
) -> Response:
    """Ask for the next instalment now."""
    form = await filled(request, PayEarlyForm)
    await services.plans.pay_early(visitor.who, command, plan_id, form)
    return done(f"/plans/{plan_id}", "The next instalment is asked for now.")
