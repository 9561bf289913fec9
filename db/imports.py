"""Imports: the row that is an import's progress, its problems and its refused records."""

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl
from sqlalchemy import case, exists, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.cipher import ColumnCipher, place
from db.models import ImportBucket, ImportJob
from db.store import Store
from domain.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.placements import RowProblem
    from domain.tenancy import Tenant

REFUSAL_COLUMN = "import_refusal.text"


class ImportStore(Store):
    """Import jobs of one agency, as the import itself writes them."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: ColumnCipher) -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def open(
        self,
        *,
        channel: str,
        source_id: UUID | None,
        location: str,
        file_name: str,
        sha256: str,
        size: int,
        profile: dict[str, Any],
        requested_by: str,
    ) -> tuple[ImportJob, bool]:
        """The import of a file content and whether it is new: the same bytes are the same import.

        A failed import does not count, its content may be sent again.
        """
        created = await self._session.scalar(
            insert(ImportJob)
            .values(
                agency_id=self._agency_id,
                channel=channel,
                source_id=source_id,
                location=location,
                file_name=file_name,
                sha256=sha256,
                bytes_total=size,
                profile=profile,
                requested_by=requested_by,
            )
            .on_conflict_do_nothing(
                index_elements=["agency_id", "sha256"], index_where=text("status <> 'failed'")
            )
            .returning(ImportJob)
        )
        if created is not None:
            return created, True
        found = await self.by_content(sha256)
        if found is None:
            raise NotFound("the import failed while it was asked for again; send the file once more")
        return found, False

    async def by_content(self, sha256: str) -> ImportJob | None:
        """The import of these bytes that did not fail."""
        found: ImportJob | None = await self._session.scalar(
            select(ImportJob).where(ImportJob.sha256 == sha256, ImportJob.status != "failed")
        )
        return found

    async def get(self, import_id: UUID) -> ImportJob:
        """One import. Raises ``NotFound``."""
        found = await self._session.get(ImportJob, import_id)
        if found is None:
            raise NotFound("there is no such import")
        return found

    async def locations_at_work(self, source_id: UUID) -> frozenset[str]:
        """Paths on a source whose content is being imported now."""
        found = await self._session.scalars(
            select(ImportJob.location).where(
                ImportJob.source_id == source_id,
                ImportJob.channel == "sftp",
                ImportJob.status.in_(["pending", "processing"]),
            )
        )
        return frozenset(found)

    async def unmoved(self, source_id: UUID) -> dict[str, tuple[int, datetime]]:
        """Refused files that could not be moved: path → (size in bytes, when they were refused)."""
        rows = await self._session.execute(
            select(ImportJob.location, ImportJob.bytes_total, ImportJob.completed_at)
            .where(
                ImportJob.source_id == source_id,
                ImportJob.status == "failed",
                ImportJob.phase == "unmoved",
                ImportJob.completed_at.is_not(None),
            )
            .order_by(ImportJob.completed_at)
        )
        return {location: (size, at) for location, size, at in rows if at is not None}

    async def stalled(self, *, limit: int) -> Sequence[ImportJob]:
        """Imports that are not over and have not moved for too long, oldest first.

        Their workflow was never started, or somebody ended it.
        """
        found = await self._session.scalars(
            select(ImportJob)
            .where(
                ImportJob.status.in_(["pending", "processing"]),
                ImportJob.updated_at
                < text(
                    "now() - CASE status WHEN 'pending' THEN interval '1 minute'"
                    " ELSE interval '5 minutes' END"
                ),
            )
            .order_by(ImportJob.id)
            .limit(limit)
        )
        return found.all()

    async def update(self, import_id: UUID, **values: Any) -> None:
        """Set columns of the progress row."""
        await self._session.execute(
            update(ImportJob)
            .where(ImportJob.id == import_id)
            .values(**values, updated_at=text("clock_timestamp()"))
        )

    async def begin(self, import_id: UUID) -> None:
        """The import is at work; staging may begin anew after a crash, so its counters start over."""
        await self._session.execute(
            update(ImportJob)
            .where(ImportJob.id == import_id, ImportJob.status.in_(["pending", "processing"]))
            .values(
                status="processing",
                phase="staging",
                started_at=text("COALESCE(import_job.started_at, clock_timestamp())"),
                updated_at=text("clock_timestamp()"),
            )
        )

    async def forget_problems(self, import_id: UUID) -> None:
        """Remove what an earlier staging of the same import reported; it is read from the start again."""
        for table in ("import_error", "import_refusal"):
            await self._session.execute(
                text(f"DELETE FROM {table} WHERE agency_id = :agency AND import_id = :id"),
                {"agency": self._agency_id, "id": import_id},
            )

    async def add_problems(
        self, import_id: UUID, problems: Sequence["RowProblem"], refused: Sequence[tuple[int, str]]
    ) -> None:
        """Report the problems of a chunk and keep its refused records: their lines and original text."""
        if problems:
            await self._copy_problems(import_id, problems)
        if refused:
            await self._keep_refused(import_id, refused)

    async def _copy_problems(self, import_id: UUID, problems: Sequence["RowProblem"]) -> None:
        frame = pl.DataFrame(
            {
                "line": [p.line for p in problems],
                "severity": [p.severity.value for p in problems],
                "column": [p.column for p in problems],
                "value": [p.value for p in problems],
                "error": [p.error for p in problems],
            }
        )
        await self._insert_copied(
            frame,
            "line bigint, severity text, col text, value text, error text",
            """INSERT INTO import_error (agency_id, import_id, line, severity, "column", value, error)
               SELECT %(agency)s, %(import)s, line, severity, COALESCE(col, ''), COALESCE(value, ''), error
                 FROM copied""",
            import_id,
        )

    async def _keep_refused(self, import_id: UUID, refused: Sequence[tuple[int, str]]) -> None:
        blobs = await asyncio.to_thread(
            self._cipher.encrypt_many,
            [record for _, record in refused],
            place(REFUSAL_COLUMN, self._agency_id),
        )
        frame = pl.DataFrame(
            {
                "line": [line for line, _ in refused],
                "text": ["\\x" + blob.hex() for blob in blobs if blob is not None],
            }
        )
        await self._insert_copied(
            frame,
            "line bigint, text_encrypted bytea",
            """INSERT INTO import_refusal (agency_id, import_id, line, text_encrypted)
               SELECT %(agency)s, %(import)s, line, text_encrypted FROM copied
               ON CONFLICT DO NOTHING""",
            import_id,
        )

    async def _insert_copied(
        self, frame: pl.DataFrame, columns: str, insertion: str, import_id: UUID
    ) -> None:
        """COPY refuses tables with row-level security: copy beside them, then insert."""
        driver = await self._driver()
        async with driver.cursor() as cursor:
            await cursor.execute(f"CREATE TEMPORARY TABLE copied ({columns}) ON COMMIT DROP".encode())
            buffer = io.BytesIO()
            frame.write_csv(buffer, include_header=False)
            async with cursor.copy("COPY copied FROM STDIN (FORMAT csv)") as sink:
                await sink.write(buffer.getbuffer())
            await cursor.execute(insertion.encode(), {"agency": self._agency_id, "import": import_id})
            await cursor.execute("DROP TABLE copied")

    async def merged_buckets(self, import_id: UUID, stage: str) -> frozenset[int]:
        """Buckets of a pass that are already in."""
        found = await self._session.scalars(
            select(ImportBucket.bucket).where(
                ImportBucket.import_id == import_id, ImportBucket.stage == stage
            )
        )
        return frozenset(found)

    async def complete(self, import_id: UUID) -> tuple[ImportJob, bool]:
        """Everything is merged: sum the buckets up and close the import.

        Returns the import and whether this call closed it; a repetition changes nothing.
        """
        closed = await self._session.scalar(_COMPLETE, {"agency": self._agency_id, "id": import_id})
        job = await self.get(import_id)
        await self._session.refresh(job)
        return job, closed is not None

    async def fail(self, import_id: UUID, reason: str, reason_type: str) -> bool:
        """End an import; False when it was over already.

        The reason says so should a part of it be merged already.
        """
        failed = await self._session.scalar(
            update(ImportJob)
            .where(ImportJob.id == import_id, ImportJob.status.in_(["pending", "processing"]))
            .values(
                status="failed",
                phase="refused",
                reason=case(
                    (
                        exists().where(ImportBucket.import_id == import_id),
                        f"stopped after merging had begun, send it again: {reason}",
                    ),
                    else_=reason,
                ),
                reason_type=reason_type,
                completed_at=datetime.now(UTC),
                updated_at=text("clock_timestamp()"),
            )
            .returning(ImportJob.id)
        )
        return failed is not None


_COMPLETE = text("""
    UPDATE import_job j
       SET status = 'completed', phase = 'merged', completed_at = clock_timestamp(),
           updated_at = clock_timestamp(), accounts_created = b.inserted, accounts_updated = b.updated,
           warnings = j.warnings + b.warnings
      FROM (SELECT COALESCE(sum(inserted), 0) AS inserted, COALESCE(sum(updated), 0) AS updated,
                   COALESCE(sum(warnings), 0) AS warnings
              FROM import_bucket
             WHERE agency_id = :agency AND import_id = :id AND stage = 'accounts') b
     WHERE j.agency_id = :agency AND j.id = :id AND j.status = 'processing'
    RETURNING j.id
""")
