"""Accounts that were changed beside their lifecycles, which are to be told: an outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, delete, exists, func, or_, select, text, true, tuple_

from db.models import Account, LifecycleNotice, PaymentPlan
from db.store import Store

ADMISSION_MINUTES = 10
"""How long after its start a lifecycle's account is marked as admitted, at the very latest."""

PLAN_HAS_JUST_ENDED = timedelta(hours=1)
"""For how long after the end of a plan its workflow is told of it."""


class Notice(NamedTuple):
    """An account, when its last change was noted, and the signal that says so.

    ``plan_id`` is its payment plan, which is to be told, too: one that goes on, or has just ended.
    """

    noted_at: datetime
    account_id: UUID
    signal: str = "account_changed"
    agency_id: UUID | None = None
    plan_id: UUID | None = None
    plan_goes_on: bool = False


class NoticeStore(Store):
    """Notices of one agency; ``LifecycleStore.notify`` makes them."""

    async def of(self, account_ids: Sequence[UUID]) -> list[Notice]:
        """The notices of these accounts that are left."""
        mine = _NOTICES.where(LifecycleNotice.agency_id == self._agency_id)
        return await self._read(mine.where(LifecycleNotice.account_id.in_(account_ids)))

    async def oldest(self, limit: int, *, after: tuple[datetime, UUID] | None = None) -> list[Notice]:
        """At most ``limit`` notices of worked accounts, or of plans, behind ``after``, the oldest first."""
        key = (LifecycleNotice.noted_at, LifecycleNotice.account_id)
        worked = exists().where(
            Account.agency_id == self._agency_id,
            Account.id == LifecycleNotice.account_id,
            Account.admitted_at.is_not(None),
            Account.released_at.is_(None),
        )
        query = _NOTICES.where(LifecycleNotice.agency_id == self._agency_id).where(
            or_(worked, _PLAN.c.id.is_not(None))
        )
        if after is not None:
            query = query.where(tuple_(*key) > after)
        return await self._read(query.order_by(*key).limit(limit))

    async def drop_unworked(self) -> None:
        """Remove notices of accounts that no lifecycle works: there is none to be told.

        A set-based change notes accounts by the thousand, most of which were never admitted. One that is
        just being admitted is marked soon after its lifecycle has started, hence ``ADMISSION_MINUTES``.
        """
        await self._session.execute(_DROP_UNWORKED, {"agency": self._agency_id, "minutes": ADMISSION_MINUTES})

    async def remove(self, notices: Sequence[Notice]) -> None:
        """Their accounts were told. A change that was noted since keeps its notice."""
        if notices:
            key = tuple_(LifecycleNotice.noted_at, LifecycleNotice.account_id)
            keys = [(notice.noted_at, notice.account_id) for notice in notices]
            told = and_(LifecycleNotice.agency_id == self._agency_id, key.in_(keys))
            # One that is locked is being noted again and stays; waiting for it could close a circle.
            free = select(LifecycleNotice.account_id).where(told).with_for_update(skip_locked=True)
            await self._session.execute(
                delete(LifecycleNotice).where(LifecycleNotice.account_id.in_(free), told)
            )

    async def _read(self, query: Select[datetime, UUID, str, UUID, UUID, bool]) -> list[Notice]:
        return [Notice(*row) for row in await self._session.execute(query)]


_DROP_UNWORKED = text("""
    WITH free AS MATERIALIZED (
        SELECT n.account_id
          FROM lifecycle_notice n JOIN account a ON a.agency_id = :agency AND a.id = n.account_id
         WHERE n.agency_id = :agency AND n.noted_at < now() - make_interval(mins => :minutes)
           AND (a.admitted_at IS NULL OR a.released_at IS NOT NULL)
           AND NOT EXISTS (
               SELECT FROM payment_plan p
                WHERE p.agency_id = :agency AND p.account_id = a.id
                  AND (p.ended_at IS NULL OR p.ended_at > now() - interval '1 hour'))
           FOR UPDATE OF n SKIP LOCKED)
    DELETE FROM lifecycle_notice n USING free WHERE n.account_id = free.account_id
""")

_PLAN = (
    select(PaymentPlan.id, PaymentPlan.ended_at.is_(None).label("goes_on"))
    .where(
        PaymentPlan.agency_id == LifecycleNotice.agency_id,
        PaymentPlan.account_id == LifecycleNotice.account_id,
        or_(PaymentPlan.ended_at.is_(None), PaymentPlan.ended_at > func.now() - PLAN_HAS_JUST_ENDED),
    )
    .order_by(PaymentPlan.id.desc())
    .limit(1)
    .lateral("plan")
)

_NOTICES = select(
    LifecycleNotice.noted_at,
    LifecycleNotice.account_id,
    LifecycleNotice.signal,
    LifecycleNotice.agency_id,
    _PLAN.c.id,
    func.coalesce(_PLAN.c.goes_on, False),
).outerjoin(_PLAN, true())
