"""SFTP sources: where an agency's portfolio files come from. Secrets are ciphertext at rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select, update

from db.changes import Change, apply, unique
from db.cipher import place
from db.keyset import Position, newest_first
from db.models import SftpSource
from db.store import Store
from domain.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant

PASSWORD_COLUMN = "sftp_source.password"  # noqa: S105 - the place of a secret, not one
PRIVATE_KEY_COLUMN = "sftp_source.private_key"
_SECRETS = {
    "password": (PASSWORD_COLUMN, "password_encrypted"),
    "private_key": (PRIVATE_KEY_COLUMN, "private_key_encrypted"),
}
_TAKEN = {"uq_sftp_source_agency_id_name": ("name", "another SFTP source has this name")}


@dataclass(frozen=True, slots=True)
class EndpointSecrets:
    """What it takes to connect to a source. For activities only; its ``repr`` shows no secret."""

    source_id: UUID
    host: str
    port: int
    username: str
    host_key: str
    inbox: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)


class SourceStore(Store):
    """The SFTP sources of one agency."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: "ColumnCipher") -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def add(self, values: Mapping[str, Any], secrets: Mapping[str, str | None]) -> SftpSource:
        """Add a source; ``secrets`` has ``password`` and ``private_key``, in the clear.

        ``Conflict`` (field ``name``) when the agency has a source of that name.
        """
        source = SftpSource(agency_id=self._agency_id, **values, **self._encrypted(secrets))
        self._session.add(source)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(source)
        return source

    async def get(self, source_id: UUID, *, lock: bool = False) -> SftpSource:
        """One source. ``NotFound`` when the agency has no such source."""
        query = select(SftpSource).where(SftpSource.agency_id == self._agency_id, SftpSource.id == source_id)
        if lock:
            query = query.with_for_update(key_share=True)
        source = await self._session.scalar(query)
        if source is None:
            raise NotFound("there is no such SFTP source")
        return source

    async def page(self, *, position: Position | None, limit: int) -> Sequence[SftpSource]:
        """Sources, newest first, keyed by ``(id,)``."""
        query = select(SftpSource).where(SftpSource.agency_id == self._agency_id)
        return (await self._session.scalars(newest_first(query, (SftpSource.id,), position, limit))).all()

    async def active(self) -> Sequence[SftpSource]:
        """The sources that are polled, by name."""
        query = (
            select(SftpSource)
            .where(SftpSource.agency_id == self._agency_id, SftpSource.active)
            .order_by(SftpSource.name)
        )
        return (await self._session.scalars(query)).all()

    async def endpoint_secrets(self, source_id: UUID) -> EndpointSecrets:
        """How to connect to a source, secrets in the clear. ``NotFound``, or ``ColumnUnreadable``."""
        source = await self.get(source_id)
        return EndpointSecrets(
            source_id=source.id,
            host=source.host,
            port=source.port,
            username=source.username,
            host_key=source.host_key,
            inbox=source.inbox,
            password=self._decrypted(PASSWORD_COLUMN, source.password_encrypted),
            private_key=self._decrypted(PRIVATE_KEY_COLUMN, source.private_key_encrypted),
        )

    async def change(
        self, source_id: UUID, values: Mapping[str, Any], secrets: Mapping[str, str | None]
    ) -> tuple[SftpSource, Change]:
        """Write the values that differ and every secret given (None removes it).

        The change tells of a secret only that it was replaced or removed.
        """
        source = await self.get(source_id, lock=True)
        encrypted = self._encrypted(secrets)
        with unique(_TAKEN):
            change = await apply(self._session, source, {**values, **encrypted})
        return source, Change(_without_secrets(change.old), _without_secrets(change.new))

    async def record_poll(self, source_id: UUID, *, problem: str | None) -> None:
        """Note that the source was looked at just now, and what went wrong, if anything."""
        await self._session.execute(
            update(SftpSource)
            .where(SftpSource.agency_id == self._agency_id, SftpSource.id == source_id)
            .values(last_polled_at=func.now(), last_problem=problem)
        )

    def _encrypted(self, secrets: Mapping[str, str | None]) -> dict[str, bytes | None]:
        encrypted = {}
        for name, secret in secrets.items():
            column, attribute = _SECRETS[name]
            encrypted[attribute] = (
                None if secret is None else self._cipher.encrypt(secret, place(column, self._agency_id))
            )
        return encrypted

    def _decrypted(self, column: str, blob: bytes | None) -> str | None:
        return None if blob is None else self._cipher.decrypt(blob, place(column, self._agency_id))


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    shown = {attribute: name for name, (_, attribute) in _SECRETS.items()}
    return {
        shown.get(name, name): ("(set)" if value else None) if name in shown else value
        for name, value in values.items()
    }
