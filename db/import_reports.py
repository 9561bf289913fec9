"""What people read about imports: the list, one import's progress, its problems, what to mend."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_

from db.cipher import ColumnCipher, place
from db.imports import REFUSAL_COLUMN
from db.keyset import Position, newest_first
from db.models import ImportJob, ImportProblem, ImportRefusal
from db.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.tenancy import Tenant


class RefusedRecord(NamedTuple):
    """The original text of a refused record and the line that it began on."""

    line: int
    text: str


class ImportReportStore(Store):
    """Reading one agency's imports."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: ColumnCipher) -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def page(
        self,
        position: Position | None,
        limit: int,
        *,
        statuses: Sequence[str] = (),
        created_after: datetime | None = None,
    ) -> Sequence[ImportJob]:
        """At most ``limit`` imports next to a position ``(id,)``, nearest first; newest first without."""
        wanted: list[ColumnElement[bool]] = []
        if statuses:
            wanted.append(ImportJob.status.in_(statuses))
        if created_after is not None:
            wanted.append(ImportJob.created_at >= created_after)
        query = newest_first(select(ImportJob).where(*wanted), (ImportJob.id,), position, limit)
        return (await self._session.scalars(query)).all()

    async def get(self, import_id: UUID) -> ImportJob | None:
        """One import, or None when it is not there or not this agency's."""
        found: ImportJob | None = await self._session.scalar(
            select(ImportJob).where(ImportJob.id == import_id)
        )
        return found

    async def problems(
        self, import_id: UUID, position: Position | None, limit: int, *, severity: str | None = None
    ) -> Sequence[ImportProblem]:
        """At most ``limit`` problems next to a position ``(line, id)``, nearest first, from line 1 on."""
        query = select(ImportProblem).where(ImportProblem.import_id == import_id)
        if severity is not None:
            query = query.where(ImportProblem.severity == severity)
        columns = (ImportProblem.line, ImportProblem.id)
        backward = position is not None and position.backward
        if position is not None:
            row = tuple_(*columns)
            query = query.where(row < position.key if backward else row > position.key)
        ordered = query.order_by(*(c.desc() if backward else c.asc() for c in columns))
        return (await self._session.scalars(ordered.limit(limit))).all()

    async def refused(self, import_id: UUID, *, after_line: int, limit: int) -> Sequence[RefusedRecord]:
        """At most ``limit`` refused records behind ``after_line``, in the order of the file."""
        rows = (
            await self._session.execute(
                select(ImportRefusal.line, ImportRefusal.text_encrypted)
                .where(ImportRefusal.import_id == import_id, ImportRefusal.line > after_line)
                .order_by(ImportRefusal.line)
                .limit(limit)
            )
        ).all()
        return await asyncio.to_thread(self._opened, rows)

    def _opened(self, rows: Sequence[tuple[int, bytes]]) -> list[RefusedRecord]:
        where = place(REFUSAL_COLUMN, self._agency_id)
        return [RefusedRecord(line, self._cipher.decrypt(blob, where)) for line, blob in rows]
