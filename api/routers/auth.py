"""Logging in, staying logged in, and who one is."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.deps import Command, LoggedIn, ServicesDep, client_ip
from api.schemas.auth import Login, Refresh
from api.schemas.common import WRITE_ERRORS, errors
from services.authentication import Me, TokenPair
from services.onboarding.users import OwnPassword

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/token", responses=errors(401, 422, 429, 503))
async def log_in(request: Request, body: Login, services: ServicesDep) -> TokenPair:
    """A pair of tokens for a username and password.

    When too many have failed for the name or from the address, 429 `too-many-logins`, whatever the password.
    """
    password = body.password.get_secret_value()
    return await services.authentication.log_in(body.username, password, ip=client_ip(request))


@router.post("/token/refresh", responses=errors(401, 422, 503))
async def refresh(body: Refresh, services: ServicesDep) -> TokenPair:
    """A new pair for a refresh token. Each is good once: using it again ends the whole login."""
    return await services.authentication.refresh(body.refresh.get_secret_value())


@router.get("/me", responses=errors(401, 404, 503))
async def me(who: LoggedIn) -> Me:
    """The user who is logged in, and the agency that this request is about."""
    return Me(
        id=who.user_id,
        username=who.username,
        role=who.role,
        agency_id=who.agency_id,
        collector_id=who.collector_id,
    )


@router.post("/password", status_code=204, responses=WRITE_ERRORS)
async def change_password(
    body: OwnPassword, who: LoggedIn, command: Command, services: ServicesDep
) -> Response:
    """Set one's own password; all logins of the user end."""
    answer = await services.users.change_own_password(who, command, body)
    return Response(status_code=answer.status)
