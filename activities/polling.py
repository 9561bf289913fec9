"""Looking for portfolio files on creditors' SFTP servers."""

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.imports import file_of
from activities.messages import AgencyRef, Message, PortfolioFile
from domain.errors import DomainError
from domain.import_profiles import Completeness, ImportProfile
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.portfolio_sources import PortfolioSources
    from db.session import Database
    from gateways.sftp_session import SftpSession

ACTOR = "portfolio-poll"
PATTERNS = ("*.csv", "*.csv.gz")
DONE_PATTERN = "*.done"
MOST_FILES = 200
"""Files taken from one source in one poll; the others wait for the next, so that no message grows."""


class SourceRef(Message):
    """One SFTP source of an agency."""

    agency_id: UUID
    source_id: UUID
    name: str


class SeenFile(Message):
    """A file as it was seen in an inbox: ``size`` in bytes, ``mtime`` in seconds since the epoch."""

    path: str
    name: str
    size: int
    mtime: int


class Sighting(Message):
    """What lies in an inbox.

    ``complete`` files said so themselves (a ``.done`` file), ``growing`` ones have to look the same
    after ``settle_s`` seconds. ``refused`` are sentences about entries that are not taken.
    """

    complete: list[SeenFile]
    growing: list[SeenFile]
    refused: list[str]
    settle_s: float


class SeenFiles(Message):
    """Files of one source that were seen before."""

    agency_id: UUID
    source_id: UUID
    files: list[SeenFile]


class PollOutcome(Message):
    """How looking at one source went; ``problem`` is None when all was well."""

    agency_id: UUID
    source_id: UUID
    problem: str | None


class PollActivities:
    """The steps of ``PortfolioPoll``."""

    def __init__(self, db: "Database", sources: "PortfolioSources", *, settle_s: float) -> None:
        self._db = db
        self._sources = sources
        self._settle_s = settle_s

    @activity.defn(name="polling.sources")
    async def sources(self, agency: AgencyRef) -> list[SourceRef]:
        """The sources that are polled for an agency."""
        async with self._db.transaction(Tenant.system(agency.agency_id, ACTOR)) as tx:
            return [
                SourceRef(agency_id=agency.agency_id, source_id=source.id, name=source.name)
                for source in await tx.sources.active()
            ]

    @activity.defn(name="polling.stalled")
    async def stalled(self, agency: AgencyRef) -> list[PortfolioFile]:
        """Imports that nobody is at work on, though they are not over; starting one again is harmless."""
        async with self._db.transaction(Tenant.system(agency.agency_id, ACTOR)) as tx:
            return [file_of(job) for job in await tx.imports.stalled(limit=MOST_FILES)]

    @activity.defn(name="polling.unscored")
    async def unscored(self, agency: AgencyRef) -> list[UUID]:
        """Imports that are in, but whose accounts nobody is scoring."""
        async with self._db.transaction(Tenant.system(agency.agency_id, ACTOR)) as tx:
            return await tx.scoring_runs.unscored_imports(MOST_FILES)

    @activity.defn(name="polling.look")
    async def look(self, ref: SourceRef) -> Sighting:
        """List an inbox, without the files that are being imported already."""
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            source = await tx.sources.get(ref.source_id)
            at_work = await tx.imports.locations_at_work(ref.source_id)
            unmoved = await tx.imports.unmoved(ref.source_id)
        profile = ImportProfile.model_validate(source.profile)
        async with heartbeating(), await self._sources.connect(tenant, ref.source_id) as session:
            listing = await session.list_files(source.inbox, (*PATTERNS, DONE_PATTERN))
        said_done = {entry.name for entry in listing.files if entry.name.endswith(".done")}
        found = [
            SeenFile(path=entry.path, name=entry.name, size=entry.size, mtime=entry.mtime)
            for entry in listing.files
            if entry.name not in said_done and entry.path not in at_work
        ]
        stuck = [file for file in found if _was_refused(file, unmoved)]
        files = [file for file in found if file not in stuck][:MOST_FILES]
        refused = [f"{entry.name}: {entry.reason}" for entry in listing.refused]
        refused += [f"{file.name}: was refused and cannot be moved; take it away" for file in stuck]
        by_done_file = profile.completeness is Completeness.DONE_FILE
        return Sighting(
            complete=[file for file in files if by_done_file and f"{file.name}.done" in said_done],
            growing=[] if by_done_file else files,
            refused=refused[:MOST_FILES],
            settle_s=self._settle_s,
        )

    @activity.defn(name="polling.take")
    async def take(self, seen: SeenFiles) -> list[PortfolioFile]:
        """Fingerprint the files that are still as they were seen; the others are left for the next poll."""
        tenant = Tenant.system(seen.agency_id, ACTOR)
        taken = []
        async with heartbeating(), await self._sources.connect(tenant, seen.source_id) as session:
            for file in seen.files:
                sha256 = await _fingerprint(session, file)
                if sha256 is None:
                    continue
                taken.append(
                    PortfolioFile(
                        agency_id=seen.agency_id,
                        channel="sftp",
                        source_id=seen.source_id,
                        location=file.path,
                        file_name=file.name,
                        sha256=sha256,
                        size=file.size,
                        mtime=file.mtime,
                        requested_by=ACTOR,
                    )
                )
        return taken

    @activity.defn(name="polling.record")
    async def record(self, outcome: PollOutcome) -> None:
        """Show on the source when it was looked at and what was wrong."""
        async with self._db.transaction(Tenant.system(outcome.agency_id, ACTOR)) as tx:
            await tx.sources.record_poll(outcome.source_id, problem=outcome.problem)


async def _fingerprint(session: "SftpSession", file: SeenFile) -> str | None:
    """SHA-256 in hex, or None when the file is gone or no longer what was seen."""
    with contextlib.suppress(_Changed):
        try:
            now = await session.stat(file.path)
            if (now.size, now.mtime) != (file.size, file.mtime):
                raise _Changed
            sha256, size = await session.fingerprint(file.path)
        except DomainError as error:
            if error.retryable:
                raise
            activity.logger.info("file left for the next poll", extra={"error_type": error.type})
            raise _Changed from error
        return sha256 if size == file.size else None
    return None


def _was_refused(file: SeenFile, unmoved: dict[str, tuple[int, datetime]]) -> bool:
    """Whether this is the file that was refused before, not a mended one under its name."""
    size, at = unmoved.get(file.path, (None, None))
    return size == file.size and at is not None and file.mtime <= at.timestamp()


class _Changed(Exception):
    """The file is not what was seen."""
