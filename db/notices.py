"""Accounts that were changed beside their lifecycles, which are to be told: an outbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, delete, select, tuple_

from db.models import LifecycleNotice
from db.store import Store


class Notice(NamedTuple):
    """An account, and when its last change was noted."""

    noted_at: datetime
    account_id: UUID


class NoticeStore(Store):
    """Notices of one agency; ``LifecycleStore.notify`` makes them."""

    async def of(self, account_ids: Sequence[UUID]) -> list[Notice]:
        """The notices of these accounts that are left."""
        return await self._read(_NOTICES.where(LifecycleNotice.account_id.in_(account_ids)))

    async def oldest(self, limit: int, *, after: tuple[datetime, UUID] | None = None) -> list[Notice]:
        """At most ``limit`` notices behind ``after``, the oldest first."""
        key = (LifecycleNotice.noted_at, LifecycleNotice.account_id)
        query = _NOTICES.where(LifecycleNotice.agency_id == self._agency_id)
        if after is not None:
            query = query.where(tuple_(*key) > after)
        return await self._read(query.order_by(*key).limit(limit))

    async def remove(self, notices: Sequence[Notice]) -> None:
        """Their accounts were told. A change that was noted since keeps its notice."""
        key = tuple_(LifecycleNotice.noted_at, LifecycleNotice.account_id)
        if notices:
            await self._session.execute(delete(LifecycleNotice).where(key.in_(notices)))

    async def _read(self, query: Select[datetime, UUID]) -> list[Notice]:
        return [Notice(*row) for row in await self._session.execute(query)]


_NOTICES = select(LifecycleNotice.noted_at, LifecycleNotice.account_id)
