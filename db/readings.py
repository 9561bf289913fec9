"""Single statements that are asked often, mostly reads: one transaction, one round trip."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.util import greenlet_spawn

from db.figures import FigureReadings
from db.inbox import InboxIntake
from db.lifecycle_views import LifecycleReadings
from db.names import NameReadings
from db.payments import PaymentReadings
from db.sessions import SessionReadings
from db.users import StandingStore
from db.worklist import WorklistStore

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.tenancy import Tenant

_TENANT = "SELECT set_config('recoup.agency', %s, true)"


class Readings:
    """Reads that see only the rows of one tenant's agency, each a transaction of its own.

    The tenant and the statement are sent together, without waiting for answers between. What a pipeline
    sends up to its end is one transaction, done in this order and only as far as all succeeds
    (PostgreSQL, Message Flow, Pipelining); were it not, the tenant would be forgotten and no row seen.
    ``engine``'s connections commit by themselves.
    """

    def __init__(
        self, engine: "AsyncEngine", tenant: "Tenant", faults: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._engine = engine
        self._faults = faults
        self.tenant = tenant

    figures = cached_property(FigureReadings)
    inbox = cached_property(InboxIntake)
    lifecycles = cached_property(LifecycleReadings)
    names = cached_property(NameReadings)
    payments = cached_property(PaymentReadings)
    worklist = cached_property(WorklistStore)
    standings = cached_property(StandingStore)
    sessions = cached_property(SessionReadings)

    async def rows(self, statement: bytes, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of ``statement``, in psycopg's notation: ``%(name)s`` for a value."""
        with self._faults():
            pooled = await self._engine.raw_connection()
            try:
                driver = cast("AsyncConnection[tuple[Any, ...]]", pooled.driver_connection)
                async with driver.pipeline():
                    await driver.execute(_TENANT, [str(self.tenant.agency_id)])
                    cursor = await driver.execute(statement, values)
                found = await cursor.fetchall()
            except BaseException as error:
                # In what state it is nobody can say: cancelled, or broken off.
                await greenlet_spawn(pooled.invalidate, error)
                raise
            await greenlet_spawn(pooled.close)
            return found
