"""Staging a portfolio file: streamed, judged and committed chunk by chunk, resumable after any of them."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from activities.portfolio_file import JudgedChunk, PortfolioReader
from activities.portfolio_totals import Cursor, Totals
from activities.read_ahead import read_ahead
from domain.errors import Conflict
from domain.import_profiles import FileRefused, ImportProfile

if TYPE_CHECKING:
    from uuid import UUID

    from activities.portfolio_sources import PortfolioSources
    from db.models import ImportJob
    from db.session import Database, Transaction
    from domain.tenancy import Tenant

ROWS_PER_BUCKET = 100_000
MAX_BUCKETS = 256


class FileChanged(Conflict):
    """The bytes are not those the import was started for; nothing was merged, the file is taken later."""

    type = "portfolio-changed"
    title = "Portfolio file changed"


class PortfolioStager:
    """Reads a file while its previous chunk is written; memory does not grow with the file."""

    def __init__(self, db: "Database", sources: "PortfolioSources") -> None:
        self._db = db
        self._sources = sources

    async def stage(self, tenant: "Tenant", import_id: "UUID") -> Totals:
        """Stage the file of an import to its end, from the last committed chunk on.

        Raises ``FileRefused`` when the whole is judged bad, ``FileChanged`` when it is not the file
        that the import was started for; staged rows are then of no use.
        """
        job, creditor, holder, position = await self._begin(tenant, import_id)
        if position is not None and position["finished"]:
            return Cursor.model_validate(position["cursor"]).totals
        run = _StagingRun(self._db, tenant, job, creditor, holder, report=job.buckets == 0)
        cursor = Cursor.model_validate(position["cursor"]) if position is not None else None
        reader = PortfolioReader(
            ImportProfile.model_validate(job.profile),
            gzip=job.file_name.lower().endswith(".gz"),
            resume=cursor,
        )
        await read_ahead(self._judged(tenant, run, reader), lambda chunk: run.commit(chunk, reader))
        return await run.finish(cursor)

    async def _begin(
        self, tenant: "Tenant", import_id: "UUID"
    ) -> tuple["ImportJob", str, "UUID", dict[str, Any] | None]:
        async with self._db.transaction(tenant) as tx:
            job = await tx.imports.get(import_id)
            holder, position = await tx.staging.take_over(import_id)
            await tx.imports.begin(import_id)
            if position is None and job.buckets == 0:
                await tx.imports.forget_problems(import_id)
            profile = ImportProfile.model_validate(job.profile)
            creditor = profile.default_creditor or await self._default_creditor(tx, job)
            # Kept with the import: what is set up differently meanwhile must not split the file in two.
            kept = {**job.profile, "default_creditor": creditor}
            await tx.imports.update(import_id, profile=kept)
        return job, creditor, holder, position

    async def _default_creditor(self, tx: "Transaction", job: "ImportJob") -> str:
        source = await tx.sources.get(job.source_id) if job.source_id else None
        if source is not None and source.creditor_id is not None:
            return (await tx.creditors.get(source.creditor_id)).name
        return (await tx.creditors.default()).name

    async def _judged(
        self, tenant: "Tenant", run: "_StagingRun", reader: PortfolioReader
    ) -> AsyncIterator[JudgedChunk]:
        refused: FileRefused | None = None
        async with contextlib.aclosing(self._sources.read(tenant, run.job)) as blocks:
            async for block in blocks:
                run.see(block)
                if refused is None:
                    try:
                        async for chunk in _threaded(reader.feed(block)):
                            yield chunk
                    except FileRefused as error:
                        # What follows is still hashed: a file that changed meanwhile is not refused
                        # for what half of each version says.
                        refused = error
        run.check_content()
        if refused is not None:
            raise refused
        async for chunk in _threaded(reader.finish()):
            yield chunk


class _StagingRun:
    """One attempt at staging: what was seen so far, and the commits."""

    def __init__(
        self,
        db: "Database",
        tenant: "Tenant",
        job: "ImportJob",
        creditor: str,
        holder: "UUID",
        *,
        report: bool,
    ) -> None:
        self.job = job
        self._db = db
        self._tenant = tenant
        self._creditor = creditor
        self._holder = holder
        self._report = report
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._last: Cursor | None = None

    def see(self, block: bytes) -> None:
        self._digest.update(block)
        self._bytes += len(block)

    def check_content(self) -> None:
        if self._digest.hexdigest() != self.job.sha256:
            raise FileChanged(
                f"{self.job.file_name} changed while it was read; it is taken again at the next poll"
            )

    async def commit(self, chunk: JudgedChunk, reader: PortfolioReader) -> None:
        """Rows, problems, progress and cursor of a chunk, in one transaction."""
        totals = chunk.cursor.totals
        layout = reader.layout
        async with self._db.transaction(self._tenant) as tx:
            await tx.staging.add(self.job.id, chunk.rows, self._creditor)
            if self._report:
                refused = [(record.line, record.text) for record in chunk.refused]
                await tx.imports.add_problems(self.job.id, [*chunk.problems, *chunk.warnings], refused)
            await tx.staging.advance(self.job.id, self._holder, _position(chunk.cursor, finished=False))
            await tx.imports.update(
                self.job.id,
                total_records=totals.records,
                processed_ok=totals.good,
                processed_errors=totals.bad,
                warnings=totals.warnings,
                bytes_done=self._bytes,
                header=list(chunk.cursor.header),
                unknown_columns=list(layout.unknown) if layout else [],
            )
        self._last = chunk.cursor

    async def finish(self, resumed: Cursor | None) -> Totals:
        """The whole was seen and judged good: from here on it is merged."""
        cursor = self._last or resumed
        if cursor is None:
            raise RuntimeError("a file that was judged good has at least one chunk")
        buckets = self.job.buckets or min(MAX_BUCKETS, 1 + (cursor.totals.good - 1) // ROWS_PER_BUCKET)
        async with self._db.transaction(self._tenant) as tx:
            await tx.staging.analyze(self.job.id)
            await tx.staging.advance(self.job.id, self._holder, _position(cursor, finished=True))
            await tx.imports.update(
                self.job.id, phase="merging", buckets=buckets, bytes_done=self.job.bytes_total
            )
        return cursor.totals


def _position(cursor: Cursor, *, finished: bool) -> dict[str, Any]:
    return {"cursor": cursor.model_dump(mode="json"), "finished": finished}


async def _threaded(chunks: Iterator[JudgedChunk]) -> AsyncIterator[JudgedChunk]:
    """Judging is work for the processor; the event loop stays free for heartbeats and the writer."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
