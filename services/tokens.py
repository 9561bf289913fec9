"""Tokens: short-lived signed access tokens, and the random text of refresh tokens."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from domain.errors import Unauthenticated
from domain.tenancy import Role

ALGORITHM = "HS256"
ISSUER = "recoup"
AUDIENCE = "recoup-api"
CLOCK_SKEW = timedelta(seconds=5)
"""By which the clocks of two replicas may differ."""

_REQUIRED = ["sub", "role", "iat", "exp", "jti", "iss", "aud"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says about its bearer."""

    user_id: UUID
    role: Role
    agency_id: UUID | None
    issued_at: datetime


class AccessTokens:
    """Signs and checks access tokens (JWT, HS256)."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret = secret
        self.lifetime = lifetime

    def issue(self, claims: Claims) -> str:
        """A token that is good for ``lifetime`` from ``claims.issued_at`` on.

        Times have microseconds (RFC 7519, NumericDate): a login that follows a change of password
        within its second is told from the logins that the change ended.
        """
        began = claims.issued_at.timestamp()
        return jwt.encode(
            {
                "sub": str(claims.user_id),
                "role": claims.role,
                "agency": str(claims.agency_id) if claims.agency_id else None,
                "iat": began,
                "exp": began + self.lifetime.total_seconds(),
                "jti": uuid.uuid4().hex,
                "iss": ISSUER,
                "aud": AUDIENCE,
            },
            self._secret,
            algorithm=ALGORITHM,
        )

    def read(self, token: str) -> Claims:
        """What ``token`` says. ``Unauthenticated`` when it is expired, forged or not one of ours."""
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED},
                leeway=CLOCK_SKEW,
            )
            return Claims(
                user_id=UUID(payload["sub"]),
                role=Role(payload["role"]),
                agency_id=UUID(payload["agency"]) if payload.get("agency") else None,
                issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "the access token has expired; get a new one at POST /api/v1/auth/token/refresh"
            ) from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError, OSError):
            raise Unauthenticated("the access token is not valid; log in again") from None


def new_refresh_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def refresh_token_hash(token: str) -> bytes:
    """What is stored of a refresh token; it has too much entropy to need a slow hash."""
    return hashlib.sha256(token.encode()).digest()
