"""Users of an agency."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import Command, ManagesSettings, ReadsSettings, ServicesDep, respond
from api.pagination import Page, Paging
from api.schemas.common import READ_ERRORS, WRITE_ERRORS
from services.onboarding.users import NewUser, UserChange, UserView

router = APIRouter(prefix="/users", tags=["onboarding"])


@router.get("", responses=READ_ERRORS)
async def list_users(who: ReadsSettings, paging: Paging, services: ServicesDep) -> Page[UserView]:
    """Users of the agency, newest first."""
    rows = await services.users.page(who, paging.position(UUID), paging.limit)
    return paging.page(rows, key=lambda row: (row.id,), render=UserView.model_validate)


@router.post("", status_code=201, response_model=UserView, responses=WRITE_ERRORS)
async def create_user(
    body: NewUser, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Make a user of the agency."""
    return respond(await services.users.create(who, command, body))


@router.get("/{user_id}", responses=READ_ERRORS)
async def get_user(user_id: UUID, who: ReadsSettings, services: ServicesDep) -> UserView:
    """One user."""
    return await services.users.get(who, user_id)


@router.patch("/{user_id}", response_model=UserView, responses=WRITE_ERRORS)
async def change_user(
    user_id: UUID, body: UserChange, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Change a user; a new role, password or `active: false` ends all their logins."""
    return respond(await services.users.change(who, command, user_id, body))


@router.delete("/{user_id}", response_model=UserView, responses=WRITE_ERRORS)
async def deactivate_user(
    user_id: UUID, who: ManagesSettings, command: Command, services: ServicesDep
) -> JSONResponse:
    """Deactivate a user and end all their logins."""
    return respond(await services.users.change(who, command, user_id, UserChange(active=False)))
