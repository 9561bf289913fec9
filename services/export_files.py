"""The files of exports in object storage, and links to them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import jwt

from domain.errors import Malformed
from gateways.storage import Download, ObjectStorage, StoredObject, object_key
from services.export_views import ExportLink, file_name_of
from services.tokens import ALGORITHM, ISSUER

if TYPE_CHECKING:
    from db.models import ExportJob

MEDIA_TYPE: Final = "text/csv; charset=utf-8"
LARGEST: Final = 8 << 30
LINK_LIFETIME: Final = timedelta(minutes=5)
DOWNLOAD_PATH: Final = "/exports/download"
_AUDIENCE = "recoup-export-download"


class ExportFiles:
    """Where the files lie: one for each attempt, so that none writes over what another has completed."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage

    async def put(self, job: "ExportJob", data: AsyncIterator[bytes]) -> StoredObject:
        """Store the file of the export's latest attempt, whole or not at all."""
        download = Download(file_name_of(job), MEDIA_TYPE)
        return await self._storage.put_stream(
            _key(job, job.attempts), data, max_bytes=LARGEST, download=download
        )

    async def remove(self, job: "ExportJob") -> None:
        """Remove what any attempt has left."""
        for attempt in range(1, job.attempts + 1):
            await self._storage.delete(_key(job, attempt))

    async def remove_attempt(self, job: "ExportJob") -> None:
        """Remove the file of this attempt."""
        await self._storage.delete(_key(job, job.attempts))


class Permit(NamedTuple):
    """Whose file a token is for."""

    agency_id: UUID
    export_id: UUID


class DownloadTokens:
    """Signs and checks what a link of our own carries (JWT, HS256): one export, a few minutes.

    ``secret`` is that of access tokens; a download's token is told from them by its audience.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def issue(self, permit: Permit, expires_at: datetime) -> str:
        """A token for the file of one export until ``expires_at``."""
        claims = {
            "sub": str(permit.export_id),
            "agency": str(permit.agency_id),
            "exp": expires_at,
            "iss": ISSUER,
            "aud": _AUDIENCE,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def read(self, token: str) -> Permit:
        """What a token is for. ``Malformed`` when it has expired, or is none of ours."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=_AUDIENCE,
                options={"require": ["sub", "agency", "exp", "iss", "aud"]},
            )
            return Permit(UUID(claims["agency"]), UUID(claims["sub"]))
        except jwt.ExpiredSignatureError:
            raise Malformed("this link has expired; ask for a new one: GET /exports/{id}/link") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise Malformed("this link is not valid; ask for a new one: GET /exports/{id}/link") from None


class ExportLinks:
    """Links to files: of the store where it signs some, else of ours below ``base_url``."""

    def __init__(self, storage: ObjectStorage, tokens: DownloadTokens, base_url: str) -> None:
        self._storage = storage
        self._tokens = tokens
        self._base_url = base_url.rstrip("/")

    async def of(self, job: "ExportJob", location: str) -> ExportLink:
        """A link that is good for some minutes, or until the file is removed if that is sooner."""
        now = datetime.now(UTC)
        lifetime = LINK_LIFETIME if job.expires_at is None else min(LINK_LIFETIME, job.expires_at - now)
        expires_at = now + lifetime
        url = await self._storage.signed_url(location, lifetime)
        if url is None:
            token = self._tokens.issue(Permit(job.agency_id, job.id), expires_at)
            url = f"{self._base_url}{DOWNLOAD_PATH}?token={token}"
        return ExportLink(url=url, expires_at=expires_at)


def _key(job: "ExportJob", attempt: int) -> str:
    return object_key(job.agency_id, "exports", job.id.hex, f"{attempt}.csv")
