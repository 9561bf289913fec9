"""Logins: password to tokens, refresh with rotation and reuse detection, token to principal."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict

from domain.errors import NotFound, Unauthenticated
from domain.tenancy import Role, Tenant
from services.access import AGENCY_HEADER, PLATFORM_AGENCY, Principal
from services.access_watch import AccessWatch
from services.tokens import AccessTokens, Claims, new_refresh_token, refresh_token_hash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from db.models import AppUser
    from db.session import Database, PlatformTransaction
    from db.users import Standing
    from services.login_limits import Attempt, LoginGuard
    from services.passwords import Passwords

Issued = TypeVar("Issued")

_log = structlog.stdlib.get_logger("auth")


class TokenPair(BaseModel):
    """``access`` is good for ``expires_in`` seconds; ``refresh`` can be used once."""

    model_config = ConfigDict(frozen=True)

    access: str
    refresh: str
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of the scheme
    expires_in: int


class Me(BaseModel):
    """The user who is logged in."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    username: str
    role: Role
    agency_id: UUID | None
    collector_id: UUID | None


class AuthenticationService:
    """Who may come in, and for how long."""

    def __init__(
        self,
        database: "Database",
        passwords: "Passwords",
        guard: "LoginGuard",
        access_tokens: AccessTokens,
        refresh_lifetime: timedelta,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._guard = guard
        self._access = access_tokens
        self._refresh_lifetime = refresh_lifetime
        self.watch: AccessWatch[Claims] = AccessWatch(self.holds, lambda claims: claims)

    async def log_in(self, username: str, password: str, *, ip: str | None = None) -> TokenPair:
        """A new login from an address. Raises as ``admit``."""

        async def issue(tx: "PlatformTransaction", user: "AppUser") -> TokenPair:
            return await self._issue(tx, user, uuid.uuid4())

        return await self.admit(username, password, issue, ip=ip)

    async def admit(
        self,
        username: str,
        password: str,
        issue: "Callable[[PlatformTransaction, AppUser], Awaitable[Issued]]",
        *,
        ip: str | None = None,
    ) -> "Issued":
        """What ``issue`` gives to the user of this name and password, in the transaction that admits them.

        ``Unauthenticated``, in the same words and time, whatever was wrong. ``TooManyLogins``, whatever
        the password, when too many have failed for this name or from this address.
        """
        name = username.strip().lower()
        async with self._guard.attempt(name, ip) as attempt:
            return await self._admit(name, password, issue, attempt)

    async def _admit(
        self,
        name: str,
        password: str,
        issue: "Callable[[PlatformTransaction, AppUser], Awaitable[Issued]]",
        attempt: "Attempt",
    ) -> "Issued":
        async with self._database.platform() as tx:
            known = await tx.users.by_username(name)
        stored = known.password_hash if known else None
        good = await self._passwords.matches(stored, password)
        if known is None or not good:
            _log.warning("login refused")
            raise _bad_login()
        renewed = (
            await self._passwords.hash(password) if self._passwords.outdated(known.password_hash) else None
        )
        async with self._database.platform() as tx:
            user = await tx.users.hold(known.id)
            if user is None or user.password_hash != stored or not await _is_active(tx, user.id):
                raise _bad_login()
            issued = await issue(tx, user)
            await attempt.succeeded(tx)
            if renewed is not None:
                await tx.users.renew_hash(user.id, old=user.password_hash, new=renewed)
        return issued

    async def refresh(self, token: str) -> TokenPair:
        """A new pair for a refresh token, which is used up by it.

        A token that was used before was stolen or copied: its whole family is revoked, the pair that
        its first use gave included. Of two uses at once one wins, and the other counts as such a reuse.
        """
        token_hash = refresh_token_hash(token)
        async with self._database.platform() as tx:
            pair = await self._rotate(tx, token_hash)
        if pair is None:
            raise Unauthenticated("the refresh token is not good any more; log in again")
        return pair

    async def _rotate(self, tx: "PlatformTransaction", token_hash: bytes) -> TokenPair | None:
        """None for a refusal: what it changed has to be committed."""
        owner = await tx.tokens.owner(token_hash)
        # The user first, then the token: a change of password locks them in this order too.
        user = await tx.users.hold(owner) if owner else None
        token = await tx.tokens.lock(token_hash)
        if user is None or token is None:
            return None
        if token.used_at is not None and token.revoked_at is None:
            await tx.tokens.revoke_family(token.family_id)
            _log.warning("refresh token reused", user_id=str(user.id), family_id=str(token.family_id))
            return None
        if token.revoked_at is not None or token.expires_at <= datetime.now(UTC):
            return None
        if not await _is_active(tx, user.id):
            return None
        await tx.tokens.use(token.id)
        return await self._issue(tx, user, token.family_id)

    async def _issue(self, tx: "PlatformTransaction", user: "AppUser", family_id: UUID) -> TokenPair:
        refresh = new_refresh_token()
        await tx.tokens.add(
            user.id, family_id, refresh_token_hash(refresh), datetime.now(UTC) + self._refresh_lifetime
        )
        access = self._access.issue(Claims(user.id, Role(user.role), user.agency_id, datetime.now(UTC)))
        return TokenPair(
            access=access, refresh=refresh, expires_in=int(self._access.lifetime.total_seconds())
        )

    async def principal(
        self, access_token: str, *, agency: str | None = None, ip: str | None = None
    ) -> Principal:
        """Who bears this token, checked against the user's row as it is now (one query).

        ``agency`` (id or slug) is what the request picked. ``Unauthenticated`` when the token is not
        good, or its user was deactivated, moved or given another role or password since it was issued;
        ``NotFound`` when the agency is not there or not theirs.
        """
        claims = self.claims(access_token)
        standing = await self._standing(claims)
        if standing is None:
            raise Unauthenticated("this login was changed or deactivated; log in again")
        picked = standing.agency_id if agency is None else await self._picked(standing, agency)
        return Principal(
            user_id=standing.user_id,
            username=standing.username,
            role=claims.role,
            agency_id=picked,
            collector_id=standing.collector_id,
            ip=ip,
        )

    def claims(self, access_token: str) -> Claims:
        """What a token says. ``Unauthenticated`` when it is expired or not one of ours."""
        return self._access.read(access_token)

    async def holds(self, claims: Claims) -> bool:
        """Whether the login that a token was issued for is good still, expired or not (one query)."""
        return await self._standing(claims) is not None

    async def _standing(self, claims: Claims) -> "Standing | None":
        """The user's row as it is now; None where it is not what the token says any more."""
        readings = self._database.readings(Tenant(claims.agency_id or PLATFORM_AGENCY))
        standing = await readings.standings.of(claims.user_id)
        return standing if standing is not None and _honoured(claims, standing) else None

    async def _picked(self, standing: "Standing", reference: str) -> UUID:
        async with self._database.platform() as tx:
            found = await tx.agencies.find(reference)
        if found is None or standing.agency_id not in {None, found.id}:
            raise NotFound(f"there is no agency “{reference}”", header=AGENCY_HEADER)
        return found.id


def _honoured(claims: Claims, standing: "Standing") -> bool:
    ended = standing.logins_valid_from is not None and claims.issued_at < standing.logins_valid_from
    same = standing.role == claims.role and standing.agency_id == claims.agency_id
    return standing.active and same and not ended


async def _is_active(tx: "PlatformTransaction", user_id: UUID) -> bool:
    standing = await tx.users.standing(user_id)
    return standing is not None and standing.active


def _bad_login() -> Unauthenticated:
    return Unauthenticated("the username or the password is not right")
