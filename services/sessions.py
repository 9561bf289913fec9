"""Sessions of the console: a signed cookie, and a login in the database that can be ended.

The cookie says who, since when and which login; the database says whether that login is still good, so any
replica serves any request and a logout counts everywhere at once.
"""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import jwt

from domain.errors import NotFound, Unauthenticated
from domain.tenancy import Role, Tenant
from services.access import PLATFORM_AGENCY, Principal
from services.access_watch import AccessWatch
from services.tokens import ALGORITHM, CLOCK_SKEW, ISSUER, new_refresh_token, refresh_token_hash

if TYPE_CHECKING:
    from db.models import AppUser
    from db.session import Database, PlatformTransaction
    from db.sessions import Visit
    from services.authentication import AuthenticationService

AUDIENCE = "recoup-console"
COOKIE = "recoup_session"
RENEWED_AFTER = timedelta(minutes=1)
"""A cookie older than this is given anew with the next answer."""

_REQUIRED = ["sub", "sid", "began", "iat", "exp", "iss", "aud"]
_OVER = "your session has ended; log in again"


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says: whose login it is, when it began and which agency the platform's user picked."""

    id: UUID
    user_id: UUID
    agency_id: UUID | None
    began: datetime
    seen: datetime
    picked: UUID | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the cookie is due to be given anew."""
        return datetime.now(UTC) - self.seen > RENEWED_AFTER


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: the principal, and what every page shows of them and their agency."""

    session: Session
    who: Principal
    full_name: str
    agency_name: str | None
    time_zone: str
    currency: str
    csrf_token: str


class SessionService:
    """Opens, reads and ends sessions. ``idle``: how long one lives unused; ``longest``: how long at most."""

    def __init__(
        self,
        database: "Database",
        authentication: "AuthenticationService",
        secret: str,
        *,
        idle: timedelta,
        longest: timedelta,
    ) -> None:
        self._database = database
        self._authentication = authentication
        self._secret = secret
        self._idle = idle
        self._longest = longest
        self.watch = AccessWatch(self.holds, _one_login)

    async def open(self, username: str, password: str, *, ip: str | None = None) -> Session:
        """A new session from an address. Raises as ``AuthenticationService.admit``."""

        async def issue(tx: "PlatformTransaction", user: "AppUser") -> Session:
            now = datetime.now(UTC)
            session = Session(uuid.uuid4(), user.id, user.agency_id, now, now)
            # Its token is thrown away: this login cannot be refreshed, only ended.
            hidden = refresh_token_hash(new_refresh_token())
            await tx.tokens.add(user.id, session.id, hidden, now + self._longest)
            return session

        return await self._authentication.admit(username, password, issue, ip=ip)

    async def end(self, session: Session) -> None:
        """Log out: no cookie of this session is good any more."""
        async with self._database.platform() as tx:
            await tx.tokens.revoke_family(session.id)

    def cookie(self, session: Session) -> str:
        """The cookie's value for a session that is used now."""
        now = datetime.now(UTC)
        ends = min(now + self._idle, session.began + self._longest)
        claims = {
            "sub": str(session.user_id),
            "sid": str(session.id),
            "agency": str(session.agency_id) if session.agency_id else None,
            "picked": str(session.picked) if session.picked else None,
            "began": session.began.timestamp(),
            "iat": now.timestamp(),
            "exp": ends.timestamp(),
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def csrf_token(self, session: Session) -> str:
        """What a form of this session has to bring along; another with each call, and all are good.

        So a page holds nothing that could be guessed from how well it compresses (BREACH, CVE-2013-3587).
        """
        salt = secrets.token_hex(16)
        return f"{salt}.{self._salted(session, salt)}"

    def knows(self, session: Session, csrf_token: str) -> bool:
        """Whether a token was made for this session."""
        salt, _, salted = csrf_token.partition(".")
        return hmac.compare_digest(salted.encode(), self._salted(session, salt).encode())

    def _salted(self, session: Session, salt: str) -> str:
        said = f"csrf {session.id} {salt}".encode()
        return hmac.new(self._secret.encode(), said, hashlib.sha256).hexdigest()

    async def visitor(self, cookie: str | None, *, ip: str | None = None) -> Visitor:
        """Who bears this cookie, as their user stands now (one query). ``Unauthenticated`` for a bad one."""
        session = self._read(cookie)
        visit = await self._visit(session)
        if visit is None:
            raise Unauthenticated(_OVER)
        return Visitor(
            session=session,
            who=_principal(visit, ip),
            full_name=visit.full_name,
            agency_name=visit.agency_name,
            time_zone=visit.time_zone or "UTC",
            currency=visit.currency or "USD",
            csrf_token=self.csrf_token(session),
        )

    async def holds(self, visitor: Visitor) -> bool:
        """Whether the visitor's session is good still, and they are who they were (one query)."""
        visit = await self._visit(visitor.session)
        return visit is not None and _principal(visit, visitor.who.ip) == visitor.who

    async def _visit(self, session: Session) -> "Visit | None":
        """The user of a session as they stand now; None where it is good no more."""
        readings = self._database.readings(Tenant(session.picked or session.agency_id or PLATFORM_AGENCY))
        visit = await readings.sessions.visit(session.id, session.user_id, session.picked)
        return visit if visit is not None and _honoured(session, visit) else None

    async def pick(self, visitor: Visitor, reference: str) -> Session:
        """The session of a platform administrator with another agency picked. ``NotFound`` for none such."""
        async with self._database.platform() as tx:
            found = await tx.agencies.find(reference)
        if found is None or visitor.who.role is not Role.PLATFORM_ADMIN:
            raise NotFound(f"there is no agency “{reference}”")
        return replace(visitor.session, picked=found.id)

    def _read(self, cookie: str | None) -> Session:
        if not cookie:
            raise Unauthenticated("log in")
        try:
            said = jwt.decode(
                cookie,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED},
                leeway=CLOCK_SKEW,
            )
            return Session(
                id=UUID(said["sid"]),
                user_id=UUID(said["sub"]),
                agency_id=UUID(said["agency"]) if said.get("agency") else None,
                began=datetime.fromtimestamp(said["began"], UTC),
                seen=datetime.fromtimestamp(said["iat"], UTC),
                picked=UUID(said["picked"]) if said.get("picked") else None,
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError, OSError):
            raise Unauthenticated(_OVER) from None


def _principal(visit: "Visit", ip: str | None) -> Principal:
    return Principal(
        user_id=visit.user_id,
        username=visit.username,
        role=Role(visit.role),
        agency_id=visit.agency_id,
        collector_id=visit.collector_id,
        ip=ip,
    )


def _one_login(visitor: Visitor) -> tuple[UUID, Principal]:
    return visitor.session.id, replace(visitor.who, ip=None)


def _honoured(session: Session, visit: "Visit") -> bool:
    ended = visit.logins_valid_from is not None and session.began < visit.logins_valid_from
    moved = session.agency_id != visit.own_agency_id
    return visit.active and visit.agency_active is not False and not moved and not ended
