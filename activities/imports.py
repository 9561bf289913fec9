"""Importing a portfolio file, step by step; each step may run again without doing anything twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import Message, PortfolioFile
from domain.errors import Conflict, DomainError
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.portfolio_sources import PortfolioSources
    from activities.portfolio_staging import PortfolioStager
    from db.models import ImportJob
    from db.session import Database, Transaction

ACTOR = "portfolio-import"
PHASE_DONE = "done"
PHASE_UNMOVED = "unmoved"
"""Over, but the server does not let its file be moved: it lies in the inbox until somebody helps."""

OVER = frozenset({PHASE_DONE, PHASE_UNMOVED})
MANY_ROWS = 10_000
"""From here on an import changes what the planner has to know of the tables."""


class StagingLost(Conflict):
    """The staged rows are gone (the database server crashed); the file has to be staged again."""

    type = "staging-lost"
    title = "Staged rows lost"


class ImportRef(Message):
    """One import."""

    agency_id: UUID
    import_id: UUID


class OpenedImport(Message):
    """The import of a file content, and where it stands already; ``buckets`` once they are known."""

    import_id: UUID
    status: Literal["pending", "processing", "completed", "failed"]
    buckets: int = 0


class StagedFile(Message):
    """Counts of a file that was judged good, and how many buckets it is merged in."""

    records: int
    ok: int
    errors: int
    buckets: int


class BucketRef(Message):
    """One hash bucket of one pass of an import."""

    agency_id: UUID
    import_id: UUID
    stage: Literal["debtors", "accounts"]
    bucket: int
    buckets: int


class BucketsRef(Message):
    """All buckets of one pass of an import."""

    agency_id: UUID
    import_id: UUID
    stage: Literal["debtors", "accounts"]
    buckets: int


class FinishedFile(Message):
    """The file of an import that is over; ``mtime`` is the one it was read with, None for an upload."""

    agency_id: UUID
    import_id: UUID
    mtime: int | None


class RefusedImport(Message):
    """An import that ends without merging anything, and why."""

    agency_id: UUID
    import_id: UUID
    reason: str
    reason_type: str


class ImportSummary(Message):
    """What an import came to."""

    import_id: UUID
    status: str
    records: int
    ok: int
    errors: int
    warnings: int
    accounts_created: int
    accounts_updated: int


def file_of(job: "ImportJob") -> PortfolioFile:
    """The input of the workflow that takes an import up, again if need be."""
    return PortfolioFile.model_validate(
        {
            "agency_id": job.agency_id,
            "channel": job.channel,
            "source_id": job.source_id,
            "location": job.location,
            "file_name": job.file_name,
            "sha256": job.sha256,
            "size": job.bytes_total,
            "requested_by": job.requested_by,
        }
    )


class ImportActivities:
    """The steps of ``PortfolioImport``."""

    def __init__(self, db: "Database", sources: "PortfolioSources", stager: "PortfolioStager") -> None:
        self._db = db
        self._sources = sources
        self._stager = stager

    @activity.defn(name="imports.open")
    async def open(self, file: PortfolioFile) -> OpenedImport:
        """Make the import's row, or find the one of the same bytes."""
        tenant = Tenant.system(file.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            profile = (await tx.sources.get(file.source_id)).profile if file.source_id else {}
            job, created = await tx.imports.open(
                channel=file.channel,
                source_id=file.source_id,
                location=file.location,
                file_name=file.file_name,
                sha256=file.sha256,
                size=file.size,
                profile=profile,
                requested_by=file.requested_by,
            )
            if created:
                await tx.audit.record("import.opened", "import", job.id, new={"file": job.file_name})
            return OpenedImport.model_validate(
                {"import_id": job.id, "status": job.status, "buckets": job.buckets}
            )

    @activity.defn(name="imports.stage")
    async def stage(self, ref: ImportRef) -> StagedFile:
        """Stream, judge and stage the file; resumes after the last committed chunk."""
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with heartbeating():
            totals = await self._stager.stage(tenant, ref.import_id)
        async with self._db.transaction(tenant) as tx:
            job = await tx.imports.get(ref.import_id)
            return StagedFile(records=totals.records, ok=totals.good, errors=totals.bad, buckets=job.buckets)

    @activity.defn(name="imports.merge_creditors")
    async def merge_creditors(self, ref: ImportRef) -> int:
        """Create the creditors that the file names first; returns how many."""
        async with self._staged(ref.agency_id, ref.import_id) as tx:
            created = await tx.placements.merge_creditors(ref.import_id)
            for name in created:
                await tx.audit.record("creditor.created", "creditor", name, new={"name": name})
            return len(created)

    @activity.defn(name="imports.open_buckets")
    async def open_buckets(self, ref: BucketsRef) -> list[int]:
        """The buckets of a pass that are not merged yet."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            done = await tx.imports.merged_buckets(ref.import_id, ref.stage)
            return [bucket for bucket in range(ref.buckets) if bucket not in done]

    @activity.defn(name="imports.merge_bucket")
    async def merge_bucket(self, ref: BucketRef) -> None:
        """Merge one bucket, in one transaction, once."""
        async with heartbeating(), self._staged(ref.agency_id, ref.import_id) as tx:
            if ref.stage == "debtors":
                await tx.placements.merge_debtors(ref.import_id, index=ref.bucket, count=ref.buckets)
                return
            job = await tx.imports.get(ref.import_id)
            agency = await tx.agencies.get(ref.agency_id)
            await tx.placements.merge_accounts(
                ref.import_id,
                index=ref.bucket,
                count=ref.buckets,
                file_name=job.file_name,
                currency=agency.currency,
            )

    @activity.defn(name="imports.complete")
    async def complete(self, ref: ImportRef) -> ImportSummary:
        """Everything is merged: close the import and clear its staging."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            if (await tx.imports.get(ref.import_id)).processed_ok >= MANY_ROWS:
                await tx.placements.refresh_statistics()
            job, closed = await tx.imports.complete(ref.import_id)
            await tx.staging.clear(ref.import_id)
            counts = {
                "accounts_created": job.accounts_created,
                "accounts_updated": job.accounts_updated,
                "errors": job.processed_errors,
            }
            if closed:
                await tx.audit.record("import.completed", "import", job.id, new=counts)
            return ImportSummary(
                import_id=job.id,
                status=job.status,
                records=job.total_records,
                ok=job.processed_ok,
                errors=job.processed_errors,
                warnings=job.warnings,
                accounts_created=job.accounts_created,
                accounts_updated=job.accounts_updated,
            )

    @activity.defn(name="imports.index_bucket")
    async def index_bucket(self, ref: BucketRef) -> int:
        """Make the accounts of a merged bucket findable by text; returns how many changed."""
        async with heartbeating(), self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            return await tx.placements.index_bucket(ref.import_id, ref.bucket)

    @activity.defn(name="imports.refuse")
    async def refuse(self, refused: RefusedImport) -> None:
        """End an import that merged nothing, with its reason."""
        async with self._db.transaction(Tenant.system(refused.agency_id, ACTOR)) as tx:
            failed = await tx.imports.fail(refused.import_id, refused.reason, refused.reason_type)
            await tx.staging.clear(refused.import_id)
            if failed:
                await tx.audit.record(
                    "import.refused", "import", refused.import_id, new={"reason": refused.reason}
                )

    @activity.defn(name="imports.put_away")
    async def put_away(self, file: FinishedFile) -> None:
        """Move the file out of the inbox: processed when it was imported, rejected when refused.

        Where the server refuses us for good, the file stays and the next poll puts it away. Another
        file that has taken its name since stays too, and is imported by the next poll.
        """
        tenant = Tenant.system(file.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            job = await tx.imports.get(file.import_id)
        problem = None
        try:
            async with heartbeating():
                folder = "processed" if job.status == "completed" else "rejected"
                await self._sources.put_away(tenant, job, folder, mtime=file.mtime)
        except DomainError as error:
            if error.retryable:
                raise
            problem = f"the file could not be moved out of the inbox: {error.message}"
        async with self._db.transaction(tenant) as tx:
            if problem is None:
                await tx.imports.update(file.import_id, phase=PHASE_DONE)
            else:
                told = f"{job.reason}; {problem}" if job.reason else problem
                await tx.imports.update(file.import_id, phase=PHASE_UNMOVED, reason=told)

    @activity.defn(name="imports.put_away_again")
    async def put_away_again(self, file: PortfolioFile) -> bool:
        """Put away a file whose content was imported before; False while that import is at work."""
        if file.source_id is None or file.mtime is None:
            return False
        tenant = Tenant.system(file.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            job = await tx.imports.by_content(file.sha256)
        if job is None or job.status != "completed" or job.phase not in OVER:
            return False
        async with heartbeating():
            await self._sources.put_away_again(
                tenant,
                file.source_id,
                file.location,
                import_id=job.id,
                mtime=file.mtime,
                found_at=activity.info().scheduled_time,
            )
        return True

    @asynccontextmanager
    async def _staged(self, agency_id: UUID, import_id: UUID) -> AsyncIterator["Transaction"]:
        """A transaction that is sure to see all staged rows."""
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            if not await tx.staging.is_whole(import_id):
                raise StagingLost("the staged rows are gone; the file is staged again")
            yield tx
