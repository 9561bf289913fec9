"""Settings of an agency: its terms, its way into Stripe, and the platform's agencies."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import ServicesDep
from api.pagination import Paging
from console.changes import changes, filled_in, typed
from console.forms import FormCommand, checked, filled
from console.lists import page_of
from console.notices import done
from console.web import AGENCIES, LoggedIn, PagesDep, keep_session, router, sees
from domain.errors import NotFound
from services.access import Right, require
from services.onboarding.agencies import AgencyChange, AgencyView, NewAgency
from services.onboarding.stripe_credentials import StripeCredentialsForm
from services.sessions import Visitor

if TYPE_CHECKING:
    from api.composition import Services

pages = router()
ReadsSettings = Annotated[Visitor, sees(Right.READ_SETTINGS)]
ManagesSettings = Annotated[Visitor, sees(Right.MANAGE_SETTINGS)]


def _choices(services: "Services") -> dict[str, Any]:
    """What the names of a scorecard and of a rule set can be, as options of a form."""
    known = services.agencies.choices
    return {
        "scorecards": [(name, name) for name in known["scorecard"]],
        "rule_sets": [(name, name.replace("-", " ").capitalize()) for name in known["rule_set"]],
    }


async def manages_agencies(visitor: LoggedIn) -> Visitor:
    """A platform administrator, whichever agency they look at or none."""
    require(visitor.who, Right.MANAGE_AGENCIES)
    return visitor


ManagesAgencies = Annotated[Visitor, Depends(manages_agencies)]


@pages.get("/settings")
async def start(visitor: LoggedIn) -> Response:
    """Lead to the first page of settings that there is for them."""
    if not visitor.who.may(Right.READ_SETTINGS):
        return RedirectResponse("/settings/password", 303)
    return RedirectResponse("/settings/agency" if visitor.who.agency_id else AGENCIES, 303)


@pages.get("/settings/agency")
async def agency(
    request: Request, visitor: ReadsSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """What holds for the whole agency."""
    return templates.page(
        request,
        "settings_agency.html",
        agency=await services.agencies.get(visitor.who, visitor.who.tenant.agency_id),
        **_choices(services),
        may_manage=visitor.who.may(Right.MANAGE_SETTINGS),
        of_platform=visitor.who.may(Right.MANAGE_AGENCIES),
        key=uuid4().hex,
    )


@pages.post("/settings/agency")
async def change_agency(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Change the agency; only what differs is sent on, for some of it has every account scored anew."""
    agency_id = visitor.who.tenant.agency_id
    present = await services.agencies.get(visitor.who, agency_id)
    values = await typed(request, AgencyChange)
    form = changes(AgencyChange, present, values)
    await services.agencies.change(visitor.who, command, agency_id, form)
    return done("/settings/agency", "The agency’s settings are saved")


@pages.get("/settings/stripe")
async def stripe(
    request: Request, visitor: ReadsSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """The agency's Stripe account; of its secrets, only whether they are set."""
    try:
        credentials = await services.stripe_credentials.get(visitor.who)
    except NotFound:
        credentials = None
    return templates.page(
        request,
        "settings_stripe.html",
        credentials=credentials,
        may_manage=visitor.who.may(Right.MANAGE_SETTINGS),
        key=uuid4().hex,
    )


@pages.post("/settings/stripe")
async def set_stripe(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Set the agency's Stripe credentials, once Stripe has accepted the key."""
    form = await filled(request, StripeCredentialsForm)
    answer = await services.stripe_credentials.put(visitor.who, command, form)
    return done("/settings/stripe", f"Stripe has accepted the key of account {answer.body['account_ref']}")


@pages.get(AGENCIES)
async def agencies(
    request: Request,
    visitor: ManagesAgencies,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """All agencies: which one to look at, and new ones."""
    rows = await services.agencies.page(visitor.who, paging.position(datetime, UUID), paging.limit)
    shown = page_of(paging, rows, key=lambda row: (row.created_at, row.id), render=AgencyView.model_validate)
    return templates.page(
        request,
        "settings_agencies.html",
        list=shown,
        **_choices(services),
        key=uuid4().hex,
    )


@pages.post(AGENCIES)
async def create_agency(
    request: Request, visitor: ManagesAgencies, command: FormCommand, services: ServicesDep
) -> Response:
    """Make an agency, its default creditor and its schedules."""
    form = checked(NewAgency, filled_in(await typed(request, NewAgency)))
    await services.agencies.create(visitor.who, command, form)
    return done(AGENCIES, f"{form.name} is made; look at it to add its users")


@pages.post("/settings/agencies/{agency_id}/active")
async def set_active(
    request: Request,
    agency_id: UUID,
    visitor: ManagesAgencies,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Let an agency in again, or nobody of it; nothing of it is deleted."""
    form = await filled(request, AgencyChange)
    answer = await services.agencies.change(visitor.who, command, agency_id, form)
    active = answer.body["active"]
    response = done(AGENCIES, f"{answer.body['name']} is {'active' if active else 'deactivated'}")
    if not active and visitor.session.picked == agency_id:
        # Who looks at an agency that lets nobody in would be logged out.
        request.state.left = True
        keep_session(request, response, replace(visitor.session, picked=None))
    return response
