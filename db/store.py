"""What every store has: its session, its tenant, and the driver's connection for COPY."""

from typing import TYPE_CHECKING, Any, TypeVar, cast

from psycopg import AsyncConnection
from sqlalchemy import func

from db.models.base import Base
from db.rows import in_session, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Tenant


_Row = TypeVar("_Row", bound=Base)

BEGAN_AT = "recoup.began_at"
"""What a session knows the time of its transaction by, where that was asked for at its start."""

DRIVER = "recoup.driver"
"""What a session knows psycopg's connection of its transaction by, where that has begun it."""


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
        """psycopg's own connection, inside this transaction: for COPY, and for what is asked often."""
        return await driver_of(self._session)

    async def _fetch(self, statement: bytes, values: "Mapping[str, Any]") -> list[tuple[Any, ...]]:
        """All rows of a statement in psycopg's notation, ``%(name)s`` for a value.

        For what every payment asks: by way of SQLAlchemy a statement takes the processor seven times as long,
        and ten times where it is put together anew each time.
        """
        return await rows(self._session, statement, values)

    async def _fetch_value(self, statement: bytes, values: "Mapping[str, Any]") -> Any:
        """The first column of the first row; None where there is none. As ``_fetch``."""
        cursor = await (await self._driver()).execute(statement, values)
        row = await cursor.fetchone()
        return None if row is None else row[0]

    async def _send(self, statement: bytes, values: "Mapping[str, Any]") -> int:
        """How many rows a statement has written that answers none. As ``_fetch``."""
        return (await (await self._driver()).execute(statement, values)).rowcount

    async def _load_all(
        self, kind: type[_Row], where: bytes, values: "Mapping[str, Any]", *, anew: bool = False
    ) -> list[_Row]:
        """Rows of this agency, by a condition in psycopg's notation, as ``db.rows.in_session``."""
        rows = await self._fetch(rows_of(kind) + where, {"agency": self._agency_id, **values})
        return [in_session(self._session, kind, row, anew=anew) for row in rows]

    async def _load(
        self, kind: type[_Row], where: bytes, values: "Mapping[str, Any]", *, anew: bool = False
    ) -> _Row | None:
        """The first of ``_load_all``."""
        found = await self._load_all(kind, where, values, anew=anew)
        return found[0] if found else None

    async def _flush(self) -> None:
        """Write what was changed in the session's objects; without asking PostgreSQL where nothing was."""
        if self._session.new or self._session.dirty or self._session.deleted:
            await self._session.flush()


class TransactionReads(Store):
    """Statements in psycopg's notation inside the caller's transaction, for stores of single reads."""

    @property
    def tenant(self) -> "Tenant":
        """Whose rows are seen."""
        return self._tenant

    async def rows(self, statement: bytes, values: "Mapping[str, Any]") -> list[tuple[Any, ...]]:
        """All rows of ``statement``."""
        return await self._fetch(statement, values)


async def driver_of(session: "AsyncSession") -> AsyncConnection[Any]:
    """psycopg's connection of a session, inside its transaction."""
    known: AsyncConnection[Any] | None = session.info.get(DRIVER)
    if known is not None:
        return known
    raw = await (await session.connection()).get_raw_connection()
    return cast("AsyncConnection[Any]", raw.driver_connection)


async def rows(
    session: "AsyncSession", statement: bytes, values: "Mapping[str, Any]"
) -> list[tuple[Any, ...]]:
    """``Store._fetch`` for those who are of no tenant."""
    cursor = await (await driver_of(session)).execute(statement, values)
    return await cursor.fetchall()
