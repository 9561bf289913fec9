"""What to work next: queued accounts in order of value, each with the reason why it stands there."""

from typing import TYPE_CHECKING

from pydantic import Field

from db.worklist import Whose
from domain.tenancy import Role
from services.access import Principal, Right, require
from services.account_views import AccountSummary
from services.counting import COUNTED_TO, BoundedCount, bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.keyset import Position
    from db.session import Database
    from db.worklist import QueuedAccount


class WorklistEntry(AccountSummary):
    """An account that is to be worked; the store gives it as JSON already (``db.worklist``)."""

    reason: str = Field(
        description="why it stands here, in words",
        examples=["CRITICAL · debt 12× income · 4 late payments · promise broken · high priority"],
    )


class WorklistService:
    """The worklist of the principal's agency; a collector's is their own."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def page(
        self, who: Principal, whose: Whose, position: "Position | None", limit: int
    ) -> "Sequence[QueuedAccount]":
        """At most ``limit`` accounts next to ``position`` (rank, account id), nearest first."""
        require(who, Right.READ_ACCOUNTS)
        visible = visible_queue(who, whose)
        if visible is None:
            return []
        return await self._database.readings(who.tenant).worklist.page(visible, position, limit)

    async def count(self, who: Principal, whose: Whose) -> BoundedCount:
        """How many accounts ``page`` would list in all, counted to ``COUNTED_TO``."""
        require(who, Right.READ_ACCOUNTS)
        visible = visible_queue(who, whose)
        if visible is None:
            return bounded(0)
        worklist = self._database.readings(who.tenant).worklist
        return bounded(*await worklist.count(visible, COUNTED_TO + 1))


def visible_queue(who: Principal, whose: Whose) -> Whose | None:
    """What is left of ``whose`` for this principal to see; None where that is nothing."""
    if who.role is not Role.COLLECTOR:
        return whose
    if who.collector_id is None or whose.nobody or whose.collector_id not in {None, who.collector_id}:
        return None
    return whose._replace(collector_id=who.collector_id)
