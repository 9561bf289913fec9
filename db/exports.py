"""Exports of one agency: asked for, written, counted, ended, their files removed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update

from db.keyset import Position, newest_first
from db.models import ExportJob
from db.store import Store
from domain.errors import NotFound

AT_WORK = ("pending", "running")
GIVEN_UP = timedelta(days=1)
"""An export that was asked for so long ago is not at work any more, whatever its row says."""


class Load(NamedTuple):
    """How many exports are at work: of one user, and of the whole agency."""

    of_user: int
    of_agency: int


class ExportStore(Store):
    """Exports of one agency."""

    async def add(self, **values: Any) -> ExportJob:
        """Ask for an export."""
        job = ExportJob(agency_id=self._agency_id, **values)
        self._session.add(job)
        await self._session.flush()
        await self._session.refresh(job)
        return job

    async def load(self, requested_by: str) -> Load:
        """What is at work now; nobody asks for another export until this transaction ends."""
        await self._session.execute(_LOCK, {"agency": str(self._agency_id)})
        row = await self._session.execute(
            select(func.count().filter(ExportJob.requested_by == requested_by), func.count()).where(
                ExportJob.agency_id == self._agency_id,
                ExportJob.status.in_(AT_WORK),
                ExportJob.created_at > func.now() - GIVEN_UP,
            )
        )
        return Load(*row.one())

    async def find(self, export_id: UUID) -> ExportJob | None:
        """One export as it is now; None when it is not there or not this agency's."""
        return await self._session.scalar(
            select(ExportJob)
            .where(ExportJob.agency_id == self._agency_id, ExportJob.id == export_id)
            .execution_options(populate_existing=True)
        )

    async def get(self, export_id: UUID) -> ExportJob:
        """``find``. Raises ``NotFound``."""
        found = await self.find(export_id)
        if found is None:
            raise NotFound("there is no such export")
        return found

    async def page(
        self,
        position: Position | None,
        limit: int,
        *,
        statuses: Sequence[str] = (),
        requested_by_id: UUID | None = None,
    ) -> Sequence[ExportJob]:
        """At most ``limit`` exports next to a position ``(id,)``, nearest first; newest first without."""
        query = select(ExportJob).where(ExportJob.agency_id == self._agency_id)
        if statuses:
            query = query.where(ExportJob.status.in_(statuses))
        if requested_by_id is not None:
            query = query.where(ExportJob.requested_by_id == requested_by_id)
        return (await self._session.scalars(newest_first(query, (ExportJob.id,), position, limit))).all()

    async def begin(self, export_id: UUID) -> bool:
        """Begin another attempt, from the first row on; False when the export is over."""
        return await self._change(
            export_id,
            ExportJob.status.in_(AT_WORK),
            status="running",
            attempts=ExportJob.attempts + 1,
            rows_written=0,
            bytes_written=0,
            started_at=func.coalesce(ExportJob.started_at, func.clock_timestamp()),
        )

    async def note(self, export_id: UUID, attempt: int, **values: Any) -> bool:
        """Write how far an attempt is; False when it is the latest no more, or the export is over."""
        return await self._change(export_id, _latest(attempt), **values)

    async def complete(
        self,
        export_id: UUID,
        attempt: int,
        *,
        location: str,
        sha256: str,
        rows: int,
        size: int,
        keep_for: timedelta,
    ) -> bool:
        """The file is whole; False as in ``note``."""
        return await self._change(
            export_id,
            _latest(attempt),
            status="completed",
            location=location,
            sha256=sha256,
            total=rows,
            rows_written=rows,
            bytes_written=size,
            completed_at=func.clock_timestamp(),
            expires_at=func.clock_timestamp() + keep_for,
        )

    async def fail(self, export_id: UUID, reason: str, reason_type: str) -> bool:
        """End an export that cannot be written; False when it was over."""
        return await self._change(
            export_id,
            ExportJob.status.in_(AT_WORK),
            status="failed",
            reason=reason,
            reason_type=reason_type,
            completed_at=func.clock_timestamp(),
        )

    async def removed(self, export_id: UUID) -> bool:
        """The files are gone; False when that is known."""
        return await self._change(
            export_id, ExportJob.removed_at.is_(None), removed_at=func.clock_timestamp()
        )

    async def now(self) -> datetime:
        """The database's clock."""
        return await self._now()

    async def _change(self, export_id: UUID, condition: ColumnElement[bool], **values: Any) -> bool:
        changed = await self._session.scalar(
            update(ExportJob)
            .where(ExportJob.agency_id == self._agency_id, ExportJob.id == export_id, condition)
            .values(**values, updated_at=func.clock_timestamp())
            .returning(ExportJob.id)
            .execution_options(synchronize_session=False)
        )
        return changed is not None


def _latest(attempt: int) -> ColumnElement[bool]:
    return (ExportJob.status == "running") & (ExportJob.attempts == attempt)


_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('exports/' || :agency, 0))")
