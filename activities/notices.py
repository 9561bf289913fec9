"""Telling lifecycles what a crash, or a server that was away, has left untold."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message
from activities.overdue_holds import look_after_holds
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from db.notices import Notice
    from db.session import Database
    from domain.scoring import Scorer

ACTOR = "notice-delivery"
BATCH = 500


class NoticePlace(Message):
    """A place among the notices, the oldest first: when it was noted, and of which account."""

    noted_at: datetime
    account_id: UUID


class DeliveryRequest(Message):
    """Deliver the next notices of an agency, those behind ``after``."""

    agency_id: UUID
    after: NoticePlace | None = None


class Delivered(Message):
    """What a batch came to; ``after`` is the last notice it looked at, None when there are no more."""

    told: int
    after: NoticePlace | None


class NoticeActivities:
    """The step of ``NoticeDelivery``.

    ``signal`` tells the lifecycles of some notices and answers those that need no repetition; it raises
    ``Unavailable`` while Temporal is away.
    """

    def __init__(
        self,
        db: "Database",
        scorers: "Mapping[str, Scorer]",
        signal: "Callable[[Sequence[Notice]], Awaitable[Sequence[Notice]]]",
    ) -> None:
        self._db = db
        self._scorers = scorers
        self._signal = signal

    @activity.defn(name="notices.deliver")
    async def deliver(self, request: DeliveryRequest) -> Delivered:
        """Deliver the oldest notices and remove them. What was noted again meanwhile stays.

        Notices of accounts that nobody works are dropped: where no lifecycle runs there is none to tell.
        When all are delivered, what no workflow sees to is looked after: holds that are over, overdue plans.
        """
        tenant = Tenant.system(request.agency_id, ACTOR)
        after = (request.after.noted_at, request.after.account_id) if request.after else None
        async with self._db.transaction(tenant) as tx:
            if after is None:
                await tx.notices.drop_unworked()
            notices = await tx.notices.oldest(BATCH, after=after)
        async with heartbeating():
            told = await self._signal(notices) if notices else []
            async with self._db.transaction(tenant) as tx:
                await tx.notices.remove(told)
            more = len(notices) == BATCH
            if not more:
                await look_after_holds(self._db, tenant, self._scorers)
                await self._look_after_plans(tenant)
        if not notices:
            return Delivered(told=0, after=None)
        last = notices[-1]
        return Delivered(
            told=len(told),
            after=NoticePlace(noted_at=last.noted_at, account_id=last.account_id) if more else None,
        )

    async def _look_after_plans(self, tenant: Tenant) -> None:
        """Have plans told, and so started, on which nothing has happened though it should have."""
        async with self._db.transaction(tenant) as tx:
            await tx.lifecycles.notify(await tx.plans.left_alone(BATCH))
