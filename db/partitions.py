"""Tables that are kept by month: their partitions, made ahead. Nothing here takes one away."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text

from db.audit import record_platform_change
from db.retention import Partition, partitions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Actor


class PartitionStore:
    """Partitions of every table that has them by month, of all agencies."""

    def __init__(self, session: "AsyncSession") -> None:
        self._session = session

    async def add(self, months: int, actor: "Actor") -> Sequence[str]:
        """Make those that are missing up to ``months`` after this one; their names, recorded in the audit
        trail when there are any. Safe to repeat. Nobody who reads or writes waits for it;
        ``Unavailable`` when it would have to wait for somebody else's change of the tables.
        """
        made = list(await self._session.scalars(_ADD, {"months": months}))
        if made:
            await record_platform_change(
                self._session, actor, "partitions.made", "database", "partitions", new={"partitions": made}
            )
        return made

    async def by_month(self) -> "Sequence[Partition]":
        """Every partition, the oldest first."""
        return await partitions(self._session)


_ADD = text("SELECT add_month_partitions(:months)")
