"""Single reads that are asked often: one statement, one transaction, one round trip."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from db.users import StandingStore
from db.worklist import WorklistStore

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.tenancy import Tenant

_TENANT = "SELECT set_config('recoup.agency', %s, true)"


class Readings:
    """Reads that see only the rows of one tenant's agency, each a transaction of its own.

    ``BEGIN``, the tenant, the statement and ``COMMIT`` are sent together (a libpq pipeline) and done in
    this order, each only when the one before has succeeded: the same transaction as ever, without
    waiting for an answer four times.
    """

    def __init__(
        self, engine: "AsyncEngine", tenant: "Tenant", faults: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._engine = engine
        self._faults = faults
        self.tenant = tenant

    worklist = cached_property(WorklistStore)
    standings = cached_property(StandingStore)

    async def rows(self, statement: bytes, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of ``statement``, in psycopg's notation: ``%(name)s`` for a value."""
        with self._faults():
            async with self._engine.connect() as connection:
                raw = await connection.get_raw_connection()
                driver = cast("AsyncConnection[tuple[Any, ...]]", raw.driver_connection)
                async with driver.pipeline():
                    await driver.execute(_TENANT, [str(self.tenant.agency_id)])
                    cursor = await driver.execute(statement, values)
                    await driver.commit()
                return await cursor.fetchall()
