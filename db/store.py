"""What every store has: its session, its tenant, and the driver's connection for COPY."""

from typing import TYPE_CHECKING, Any, cast

from psycopg import AsyncConnection
from sqlalchemy import func

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Tenant


BEGAN_AT = "recoup.began_at"
"""What a session knows the time of its transaction by, where that was asked for at its start."""


class Store:
    """Queries over one aggregate, inside the caller's transaction."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant") -> None:
        self._session = session
        self._tenant = tenant

    @property
    def _agency_id(self) -> "UUID":
        return self._tenant.agency_id

    async def _now(self) -> "datetime":
        """The time of this transaction."""
        known: datetime | None = self._session.info.get(BEGAN_AT)
        return known or await self._session.scalar(func.now())

    async def _driver(self) -> AsyncConnection[Any]:
        """psycopg's own connection, inside this transaction: for COPY and set-based statements."""
        connection = await self._session.connection()
        raw = await connection.get_raw_connection()
        return cast("AsyncConnection[Any]", raw.driver_connection)


class TransactionReads(Store):
    """Statements in psycopg's notation inside the caller's transaction, for stores of single reads."""

    @property
    def tenant(self) -> "Tenant":
        """Whose rows are seen."""
        return self._tenant

    async def rows(self, statement: bytes, values: "Mapping[str, Any]") -> list[tuple[Any, ...]]:
        """All rows of ``statement``."""
        cursor = await (await self._driver()).execute(statement, values)
        return await cursor.fetchall()
