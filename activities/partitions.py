"""Making partitions ahead: the one step of ``PartitionMaintenance``."""

from typing import TYPE_CHECKING

import structlog
from temporalio import activity

from activities.messages import Message
from domain.tenancy import Actor

if TYPE_CHECKING:
    from db.session import Database

ACTOR = Actor("system", "partition-maintenance")
_log = structlog.stdlib.get_logger("partitions")


class MaintenanceRequest(Message):
    """What concerns the whole installation and no single agency."""


class PartitionsMade(Message):
    """The partitions that were made, by name, and for how many months after this one there are now some."""

    made: tuple[str, ...]
    months_ahead: int


class PartitionActivities:
    """The step of ``PartitionMaintenance``. ``months``: how many after this one there shall be."""

    def __init__(self, db: "Database", *, months: int) -> None:
        self._db = db
        self._months = months

    @activity.defn(name="partitions.make")
    async def make(self, _: MaintenanceRequest) -> PartitionsMade:
        """Make what is missing in one transaction; repeated, there is nothing left to make."""
        async with self._db.platform() as tx:
            made = await tx.partitions.add(self._months, ACTOR)
            ahead = await tx.months_ahead()
        if made:
            _log.info("partitions made", made=len(made), first=made[0], months_ahead=ahead)
        return PartitionsMade(made=tuple(made), months_ahead=ahead)
