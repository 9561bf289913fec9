"""Who works here: users and their roles, collectors and how many accounts they take, one's own password."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import MAX_PAGE_SIZE, Paging
from console.changes import changes, filled_in, typed
from console.forms import FormCommand, checked, filled
from console.lists import page_of
from console.notices import done
from console.web import LOGIN, LoggedIn, PagesDep, router, sees
from domain.tenancy import Role
from services.access import Right
from services.onboarding.collectors import CollectorChange, CollectorView, NewCollector
from services.onboarding.users import NewUser, OwnPassword, UserChange, UserView
from services.sessions import COOKIE, Visitor

if TYPE_CHECKING:
    from api.composition import Services

pages = router()
ROLES = (Role.AGENCY_ADMIN, Role.COLLECTOR, Role.AUDITOR)
"""What users of an agency can be."""

ReadsSettings = Annotated[Visitor, sees(Right.READ_SETTINGS)]
ManagesSettings = Annotated[Visitor, sees(Right.MANAGE_SETTINGS)]


@pages.get("/settings/users")
async def users(
    request: Request, visitor: ReadsSettings, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Users of the agency, newest first."""
    rows = await services.users.page(visitor.who, paging.position(UUID), paging.limit)
    return templates.page(
        request,
        "settings_users.html",
        list=page_of(paging, rows, key=lambda row: (row.id,), render=UserView.model_validate),
        roles=ROLES,
        may_manage=visitor.who.may(Right.MANAGE_SETTINGS),
        key=uuid4().hex,
    )


@pages.post("/settings/users")
async def create_user(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Make a user; a collector is to be given a limit next."""
    form = checked(NewUser, filled_in(await typed(request, NewUser)))
    await services.users.create(visitor.who, command, form)
    if form.role is Role.COLLECTOR:
        return done("/settings/collectors", f"{form.full_name} can log in; now let them be assigned accounts")
    return done("/settings/users", f"{form.full_name} can log in as {form.username}")


@pages.get("/settings/users/{user_id}")
async def user(
    request: Request, user_id: UUID, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """One user, to be changed."""
    return templates.page(
        request,
        "settings_user.html",
        user=await services.users.get(visitor.who, user_id),
        role_names=[(role, role.replace("_", " ").capitalize()) for role in ROLES],
        own=user_id == visitor.who.user_id,
        key=uuid4().hex,
    )


@pages.post("/settings/users/{user_id}")
async def change_user(
    request: Request, user_id: UUID, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Change a user. A new role, password or deactivation ends all their logins."""
    present = await services.users.get(visitor.who, user_id)
    form = changes(UserChange, present, await typed(request, UserChange))
    answer = await services.users.change(visitor.who, command, user_id, form)
    ended = form.given().keys() & {"role", "password", "active"}
    text = f"{answer.body['full_name']} is saved" + ("; their logins have ended" if ended else "")
    return done("/settings/users", text)


@pages.get("/settings/collectors")
async def collectors(
    request: Request, visitor: ReadsSettings, paging: Paging, services: ServicesDep, templates: PagesDep
) -> Response:
    """Collectors of the agency, newest first."""
    rows = await services.collectors.page(visitor.who, paging.position(UUID), paging.limit)
    may_manage = visitor.who.may(Right.MANAGE_SETTINGS)
    return templates.page(
        request,
        "settings_collectors.html",
        list=page_of(paging, rows, key=lambda row: (row.id,), render=CollectorView.model_validate),
        may_manage=may_manage,
        waiting=await _waiting(services, visitor) if may_manage else [],
        key=uuid4().hex,
    )


async def _waiting(services: "Services", visitor: Visitor) -> list[UserView]:
    """The newest users of the role collector who cannot be assigned accounts yet."""
    known = {row.user_id for row in await services.collectors.page(visitor.who, None, MAX_PAGE_SIZE)}
    found = await services.users.page(visitor.who, None, MAX_PAGE_SIZE)
    return [
        UserView.model_validate(row)
        for row in found
        if row.role == Role.COLLECTOR and row.active and row.id not in known
    ]


@pages.post("/settings/collectors")
async def create_collector(
    request: Request, visitor: ManagesSettings, command: FormCommand, services: ServicesDep
) -> Response:
    """Let a user be assigned accounts."""
    form = await filled(request, NewCollector)
    answer = await services.collectors.create(visitor.who, command, form)
    name, limit = answer.body["full_name"], answer.body["max_accounts"]
    return done("/settings/collectors", f"{name} is assigned accounts from now on, at most {limit}")


@pages.get("/settings/collectors/{collector_id}")
async def collector(
    request: Request, collector_id: UUID, visitor: ManagesSettings, services: ServicesDep, templates: PagesDep
) -> Response:
    """One collector, to be changed."""
    found = await services.collectors.get(visitor.who, collector_id)
    return templates.page(request, "settings_collector.html", collector=found, key=uuid4().hex)


@pages.post("/settings/collectors/{collector_id}")
async def change_collector(
    request: Request,
    collector_id: UUID,
    visitor: ManagesSettings,
    command: FormCommand,
    services: ServicesDep,
) -> Response:
    """Change a collector; the limit bounds automatic assignment only."""
    present = await services.collectors.get(visitor.who, collector_id)
    form = changes(CollectorChange, present, await typed(request, CollectorChange))
    answer = await services.collectors.change(visitor.who, command, collector_id, form)
    return done("/settings/collectors", f"{answer.body['full_name']} is saved")


@pages.get("/settings/password")
async def password(request: Request, visitor: LoggedIn, templates: PagesDep) -> Response:
    """A place to change one's own password."""
    return templates.page(request, "settings_password.html", key=uuid4().hex)


@pages.post("/settings/password")
async def change_password(
    request: Request, visitor: LoggedIn, command: FormCommand, services: ServicesDep
) -> Response:
    """Set one's own password, which ends all one's logins, this one too."""
    form = await filled(request, OwnPassword)
    await services.users.change_own_password(visitor.who, command, form)
    request.state.left = True
    response = done(LOGIN, "Your password is changed; log in with the new one")
    response.delete_cookie(COOKIE, path="/")
    return response
