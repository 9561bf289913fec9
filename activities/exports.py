"""Writing a list into a file: the whole of it by one attempt, or nothing that anybody can see."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message
from domain.errors import Conflict, Forbidden, NotFound, Unavailable
from domain.tenancy import USER, Actor, Tenant

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from db.models import ExportJob
    from db.session import Database
    from gateways.storage import StoredObject

NOTE_EVERY_S = 1.0
LAST_TRY_FOR_THE_ROW = 8
"""The workflow is started before the row of its export is committed: by then it is there, or never."""


class ExportRef(Message):
    """One export."""

    agency_id: UUID
    export_id: UUID


class FailedExport(ExportRef):
    """An export that cannot be written, and why."""

    reason: str
    reason_type: str


class ExportSummary(Message):
    """What an export came to; ``size`` is in bytes, ``expires_at`` when its file is removed."""

    export_id: UUID
    rows: int
    size: int
    expires_at: datetime


class Superseded(Conflict):
    """Another attempt writes the export, or it is over."""

    type = "export-superseded"
    title = "Export written by another attempt"


class Block(NamedTuple):
    """A piece of a file and the rows in it."""

    rows: int
    data: bytes


class Reading(Protocol):
    """A list as it was at one moment. ``total`` are its rows, None where nobody has counted them;
    ``sees_only`` is the collector whose accounts alone are in it."""

    total: int | None
    sees_only: UUID | None

    def blocks(self) -> AsyncIterator[Block]:
        """The file, piece by piece."""
        ...


class Lists(Protocol):
    """Reads lists as those who asked for them see them now."""

    def open(self, job: "ExportJob") -> "AbstractAsyncContextManager[Reading]":
        """The list of an export. ``Forbidden`` when it is no longer for whoever has asked."""
        ...

    async def check(self, job: "ExportJob", reading: Reading) -> None:
        """``Forbidden`` when what was read is no longer for whoever has asked."""
        ...


class Files(Protocol):
    """Where the files of exports lie; each attempt has one of its own."""

    async def put(self, job: "ExportJob", data: AsyncIterator[bytes]) -> "StoredObject":
        """Store the file of the export's latest attempt, whole or not at all."""
        ...

    async def remove(self, job: "ExportJob") -> None:
        """Remove what any attempt has left, whether it is there or not."""
        ...

    async def remove_attempt(self, job: "ExportJob") -> None:
        """Remove the file of this attempt."""
        ...


class ExportActivities:
    """The steps of ``Export``. ``keep_for``: how long a file can be had."""

    def __init__(self, db: "Database", lists: Lists, files: Files, *, keep_for: timedelta) -> None:
        self._db = db
        self._lists = lists
        self._files = files
        self._keep_for = keep_for

    @activity.defn(name="exports.write")
    async def write(self, ref: ExportRef) -> ExportSummary:
        """Write the file from its first row on; another attempt finds what this one has completed."""
        async with heartbeating():
            job = await self._begin(ref)
            if job.status == "completed":
                return _summary(job)
            async with self._lists.open(job) as reading:
                await self._note(job, total=reading.total, sees_only=reading.sees_only)
                tally = _Tally()
                stored = await self._files.put(job, self._counted(job, reading, tally))
            try:
                await self._lists.check(job, reading)
                return await self._complete(job, stored, tally.rows)
            except (Conflict, Forbidden):
                # Not when nobody knows whether the row says by now that the file is whole.
                await self._files.remove_attempt(job)
                raise

    async def _begin(self, ref: ExportRef) -> "ExportJob":
        async with self._db.transaction(_system(ref)) as tx:
            job = await tx.exports.find(ref.export_id)
            if job is None:
                if activity.info().attempt >= LAST_TRY_FOR_THE_ROW:
                    raise NotFound("there is no such export: it was never asked for in the end")
                raise Unavailable("the export is not on record yet")
            if job.status != "completed" and not await tx.exports.begin(ref.export_id):
                raise Superseded("the export is over")
            return await tx.exports.get(ref.export_id)

    async def _counted(self, job: "ExportJob", reading: Reading, tally: "_Tally") -> AsyncIterator[bytes]:
        async for block in reading.blocks():
            tally.rows += block.rows
            tally.size += len(block.data)
            if monotonic() - tally.noted_at >= NOTE_EVERY_S:
                await self._note(job, rows_written=tally.rows, bytes_written=tally.size)
                tally.noted_at = monotonic()
            yield block.data

    async def _note(self, job: "ExportJob", **values: object) -> None:
        async with self._db.transaction(_requester(job)) as tx:
            if not await tx.exports.note(job.id, job.attempts, **values):
                raise Superseded("the export is over, or another attempt has begun to write it")

    async def _complete(self, job: "ExportJob", stored: "StoredObject", rows: int) -> ExportSummary:
        async with self._db.transaction(_requester(job)) as tx:
            whole = await tx.exports.complete(
                job.id,
                job.attempts,
                location=stored.key,
                sha256=stored.sha256,
                rows=rows,
                size=stored.size,
                keep_for=self._keep_for,
            )
            if not whole:
                raise Superseded("the export is over, or another attempt has begun to write it")
            await tx.audit.record(
                "export.completed",
                "export",
                job.id,
                new={"list": job.list_name, "filters": job.filters, "rows": rows, "bytes": stored.size},
            )
            return _summary(await tx.exports.get(job.id))

    @activity.defn(name="exports.fail")
    async def fail(self, failed: FailedExport) -> None:
        """End an export that cannot be written."""
        async with self._db.transaction(_system(failed)) as tx:
            job = await tx.exports.find(failed.export_id)
        if job is None:
            return
        async with self._db.transaction(_requester(job)) as tx:
            if await tx.exports.fail(job.id, failed.reason, failed.reason_type):
                await tx.audit.record(
                    "export.failed", "export", job.id, new={"list": job.list_name, "reason": failed.reason}
                )

    @activity.defn(name="exports.remove")
    async def remove(self, ref: ExportRef) -> None:
        """Remove the files of an export; its row stays."""
        async with heartbeating():
            async with self._db.transaction(_system(ref)) as tx:
                job = await tx.exports.find(ref.export_id)
            if job is None:
                return
            await self._files.remove(job)
            async with self._db.transaction(_system(ref)) as tx:
                await tx.exports.removed(ref.export_id)


class _Tally:
    """What was written of a file."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self.noted_at = monotonic()


def _summary(job: "ExportJob") -> ExportSummary:
    if job.expires_at is None:
        raise Superseded("the export is not complete")
    return ExportSummary(
        export_id=job.id, rows=job.rows_written, size=job.bytes_written, expires_at=job.expires_at
    )


def _system(ref: ExportRef) -> Tenant:
    return Tenant.system(ref.agency_id, "export")


def _requester(job: "ExportJob") -> Tenant:
    """The agency, seen by whoever has asked for the export."""
    kind = "operator" if job.requested_by_id is None else USER
    return Tenant(job.agency_id, Actor(kind, job.requested_by, job.requested_by_id))
