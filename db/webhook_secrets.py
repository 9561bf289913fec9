"""What every agency's webhooks are signed with, read at once: whose an event is, only its signature says."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from uuid import UUID

import structlog
from sqlalchemy.util import greenlet_spawn

from db.cipher import ColumnUnreadable, place
from db.stripe_credentials import WEBHOOK_SECRET_COLUMN

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from db.cipher import ColumnCipher

_AGENCIES = "SELECT id, slug FROM agency"
_TENANT = "SELECT set_config('recoup.agency', %s, true)"
_SECRET = "SELECT webhook_secret_encrypted FROM stripe_credentials WHERE agency_id = %s"  # noqa: S105 - no secret

_log = structlog.stdlib.get_logger("webhook-secrets")


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """Where one agency's events come in; ``secret`` is None before one is set."""

    agency_id: UUID
    slug: str
    secret: str | None = field(repr=False)


class WebhookSecrets:
    """The secrets of all agencies, in two round trips however many there are: each is read as its agency,
    in one pipeline (see ``db.readings``)."""

    def __init__(
        self,
        engine: "AsyncEngine",
        cipher: "ColumnCipher",
        faults: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._engine = engine
        self._cipher = cipher
        self._faults = faults

    async def every(self) -> list[WebhookSecret]:
        """Every agency's, the inactive too. Raises as ``Database.transaction``; one that does not open is
        taken as not set."""
        with self._faults():
            pooled = await self._engine.raw_connection()
            try:
                driver = cast("AsyncConnection[tuple[UUID, str]]", pooled.driver_connection)
                agencies = await (await driver.execute(_AGENCIES)).fetchall()
                async with driver.pipeline():
                    asked = []
                    for agency_id, _ in agencies:
                        await driver.execute(_TENANT, [str(agency_id)])
                        asked.append(await driver.execute(_SECRET, [agency_id]))
                blobs = [cast("tuple[bytes | None] | None", await cursor.fetchone()) for cursor in asked]
            except BaseException as error:
                # In what state it is nobody can say: cancelled, or broken off.
                await greenlet_spawn(pooled.invalidate, error)
                raise
            await greenlet_spawn(pooled.close)
        return [
            WebhookSecret(agency_id, slug, self._opened(agency_id, blob[0] if blob else None))
            for (agency_id, slug), blob in zip(agencies, blobs, strict=True)
        ]

    def _opened(self, agency_id: UUID, blob: bytes | None) -> str | None:
        if blob is None:
            return None
        try:
            return self._cipher.decrypt(blob, place(WEBHOOK_SECRET_COLUMN, agency_id))
        except ColumnUnreadable:
            _log.exception("a webhook secret does not open", agency_id=str(agency_id))
            return None
