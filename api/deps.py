"""What routers ask for: the services, who is asking with which right, and the command's key."""

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.composition import Services
from api.problems import NOT_JSON
from db.commands import Answer
from domain.card_numbers import has_card_number
from domain.errors import Malformed, Unauthenticated
from services.access import Principal, Right, require
from services.commands import CommandKey

MAX_KEY_LENGTH = 255
SECRET_FIELDS = frozenset(
    {
        "password",
        "current_password",
        "new_password",
        "private_key",
        "refresh",
        "secret_key",
        "signing_secret",
        "ssn_last4",
        "webhook_secret",
    }
)
"""Body fields that are secrets: idempotency records keep a keyed fingerprint of them, not a hash."""

_bearer = HTTPBearer(auto_error=False, description="the `access` token of `POST /auth/token`")


async def services(request: Request) -> Services:
    """The services of this application."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services)]


def client_ip(request: Request) -> str | None:
    """The caller's address, where it is one (uvicorn resolves trusted proxies)."""
    if request.client is None:
        return None
    try:
        return str(ipaddress.ip_address(request.client.host))
    except ValueError:
        return None


async def bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """The caller's access token, whatever it is worth; ``Unauthenticated`` without one."""
    if credentials is None:
        raise Unauthenticated("log in at POST /api/v1/auth/token and send the token as a Bearer token")
    return credentials.credentials


BearerToken = Annotated[str, Depends(bearer_token)]


async def principal(
    request: Request,
    available: ServicesDep,
    token: BearerToken,
    x_agency: Annotated[
        str | None, Header(description="platform administrators: the agency, by id or slug")
    ] = None,
) -> Principal:
    """Who is asking; ``Unauthenticated`` without a token that is still good."""
    return await available.authentication.principal(token, agency=x_agency, ip=client_ip(request))


LoggedIn = Annotated[Principal, Depends(principal)]


def may(right: Right, *, agency: bool = True) -> Any:
    """A dependency: the principal, who must have ``right`` and, unless told otherwise, an agency."""

    async def check(who: LoggedIn) -> Principal:
        require(who, right)
        if agency:
            _ = who.tenant
        return who

    return Depends(check)


ManagesAgencies = Annotated[Principal, may(Right.MANAGE_AGENCIES, agency=False)]
ChangesAgencies = Annotated[Principal, may(Right.MANAGE_SETTINGS, agency=False)]
ReadsAgencies = Annotated[Principal, may(Right.READ_SETTINGS, agency=False)]
ReadsSettings = Annotated[Principal, may(Right.READ_SETTINGS)]
ManagesSettings = Annotated[Principal, may(Right.MANAGE_SETTINGS)]
ReadsAccounts = Annotated[Principal, may(Right.READ_ACCOUNTS)]
CreatesAccounts = Annotated[Principal, may(Right.CREATE_ACCOUNTS)]
WorksAccounts = Annotated[Principal, may(Right.WORK_ACCOUNTS)]
ManagesAccounts = Annotated[Principal, may(Right.MANAGE_ACCOUNTS)]
ReadsDebtors = Annotated[Principal, may(Right.READ_DEBTORS)]
ManagesDebtors = Annotated[Principal, may(Right.MANAGE_DEBTORS)]
ContactsDebtors = Annotated[Principal, may(Right.CONTACT_DEBTORS)]
ReadsPayments = Annotated[Principal, may(Right.READ_PAYMENTS)]
TakesPayments = Annotated[Principal, may(Right.TAKE_PAYMENTS)]
RefundsPayments = Annotated[Principal, may(Right.REFUND_PAYMENTS)]
ReadsImports = Annotated[Principal, may(Right.READ_IMPORTS)]
RunsImports = Annotated[Principal, may(Right.RUN_IMPORTS)]
ReadsScoring = Annotated[Principal, may(Right.READ_SCORING)]
RunsScoring = Annotated[Principal, may(Right.RUN_SCORING)]
ReadsAssignments = Annotated[Principal, may(Right.READ_ASSIGNMENTS)]
RunsAssignments = Annotated[Principal, may(Right.RUN_ASSIGNMENTS)]
ReadsReconciliations = Annotated[Principal, may(Right.READ_RECONCILIATIONS)]
RunsReconciliations = Annotated[Principal, may(Right.RUN_RECONCILIATIONS)]
ResolvesBreaks = Annotated[Principal, may(Right.RESOLVE_BREAKS)]
ExportsLists = Annotated[Principal, may(Right.EXPORT_LISTS)]
ReadsSchedules = Annotated[Principal, may(Right.READ_SCHEDULES)]
ManagesSchedules = Annotated[Principal, may(Right.MANAGE_SCHEDULES)]
ReadsAnalytics = Annotated[Principal, may(Right.READ_ANALYTICS)]
ReadsOwnAnalytics = Annotated[Principal, may(Right.READ_OWN_ANALYTICS)]
RefreshesAnalytics = Annotated[Principal, may(Right.REFRESH_ANALYTICS)]

KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")


def _key_header(
    request: Request,
    _declared: Annotated[
        str | None,
        Header(
            alias=KEY_HEADER,
            description="sent again with the same request by the same user, it gets the first answer;"
            " else 422",
            json_schema_extra={"minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
        ),
    ] = None,
) -> str | None:
    """The key of a command, as in a body's ``idempotency_key``; ``Malformed`` for any other, or for two."""
    sent = request.headers.getlist(KEY_HEADER)
    if len(sent) > 1:
        raise Malformed(f"send one header {KEY_HEADER}, not {len(sent)}", field=KEY_HEADER)
    if not sent:
        return None
    return checked_key(sent[0], KEY_HEADER)


def checked_key(key: str, field: str) -> str:
    """``key`` if it can be a command's; ``Malformed`` names the ``field`` that it came in."""
    if not _KEY.fullmatch(key):
        raise Malformed(f"{field} must be 1 to {MAX_KEY_LENGTH} printable ASCII characters", field=field)
    if has_card_number(key):
        raise Malformed(f"{field} must not contain the number of a card", field=field)
    return key


IdempotencyKey = Annotated[str | None, Depends(_key_header)]


async def command_key(
    request: Request, available: ServicesDep, idempotency_key: IdempotencyKey = None
) -> CommandKey:
    """What identifies the command of a request with a JSON body, or none."""
    operation = f"{request.method} {request.scope['route'].path_format}"
    if idempotency_key is None:
        return CommandKey(operation)
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        raise Malformed(NOT_JSON) from None
    concealed = conceal(body, available.fingerprint_key)
    return CommandKey(operation, idempotency_key, {"path": dict(request.path_params), "body": concealed})


Command = Annotated[CommandKey, Depends(command_key)]


def respond(answer: Answer) -> JSONResponse:
    """A command's answer as the response, the first time and every time it is repeated."""
    return JSONResponse(answer.body, status_code=answer.status)


def conceal(value: Any, key: bytes) -> Any:
    """``value`` with its secrets (``SECRET_FIELDS``) replaced by fingerprints under ``key``."""
    if isinstance(value, Mapping):
        return {
            name: _fingerprint(item, key) if name in SECRET_FIELDS and item else conceal(item, key)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [conceal(item, key) for item in value]
    return value


def _fingerprint(value: Any, key: bytes) -> str:
    return hmac.new(key, json.dumps(value, sort_keys=True).encode(), hashlib.sha256).hexdigest()
