"""The statement files of a partner: found in its folder, staged, put away; each step may be repeated."""

import hashlib
import posixpath
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError
from temporalio import activity

from activities.heartbeats import heartbeating
from activities.partner_run_messages import ACTOR, PartnerRunRef
from activities.statement_messages import PutAway, StagedStatement, StatementFile, StatementSighting
from activities.statement_staging import FileChanged, Source, StatementStager
from domain.errors import DomainError, Invalid, NotFound
from domain.import_profiles import FileRefused
from domain.statement_profiles import StatementProfile, profile_of
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.portfolio_sources import PortfolioSources
    from db.models import Partner, Statement
    from db.partner_statements import OpenedStatement
    from db.session import Database
    from gateways.sftp_session import SftpSession

PATTERNS = ("*.csv", "*.csv.gz")
MOST_FILES = 200
"""Files taken in one run; the others wait for the next, so that no message grows."""

PROCESSED, REJECTED = "processed", "rejected"
_FOLDERS = {"closed": PROCESSED, "refused": REJECTED}
_NOT_THERE = {"sftp-file-missing", "sftp-file-changed"}
"""By their types: workflows import this module, and must not reach the SFTP library with it."""


def partner_folder(name: str) -> str:
    """Where a partner's statements lie on the server."""
    return posixpath.join("/partners", name)


class StatementActivities:
    """The steps of ``PartnerReconciliation`` that deal with files."""

    def __init__(self, db: "Database", sources: "PortfolioSources", *, settle_s: float) -> None:
        self._db = db
        self._sources = sources
        self._stager = StatementStager(db)
        self._settle_s = settle_s

    @activity.defn(name="statements.look")
    async def look(self, ref: PartnerRunRef) -> StatementSighting:
        """List a partner's folder; nothing for a partner without an SFTP server."""
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            partner = await tx.partners.get(ref.partner_id)
        if partner.source_id is None:
            return StatementSighting(files=[], problems=[], settle_s=self._settle_s)
        folder = partner_folder(partner.name)
        found_at = datetime.now(UTC)
        async with heartbeating(), await self._sources.connect(tenant, partner.source_id) as session:
            try:
                listing = await session.list_files(folder, PATTERNS)
            except NotFound:
                problem = f"there is no folder {folder} on the server; make it, or rename the partner"
                return StatementSighting(files=[], problems=[problem], settle_s=self._settle_s, whole=False)
        files = [
            StatementFile(
                agency_id=ref.agency_id,
                partner_id=ref.partner_id,
                path=entry.path,
                name=entry.name,
                size=entry.size,
                mtime=entry.mtime,
                found_at=found_at,
                dry_run=ref.dry_run,
            )
            for entry in listing.files[:MOST_FILES]
        ]
        problems = [f"{entry.name}: {entry.reason}" for entry in listing.refused[:MOST_FILES]]
        left = len(listing.files) - len(files)
        if left:
            problems.append(
                f"{len(files)} of {len(listing.files)} files were taken; the next run takes the others"
            )
        return StatementSighting(
            files=files, problems=problems, settle_s=self._settle_s, whole=not (left or listing.refused)
        )

    @activity.defn(name="statements.stage")
    async def stage(self, file: StatementFile) -> StagedStatement:
        """Stage one file that is still as it was seen; goes on where an earlier attempt was stopped."""
        tenant = Tenant.system(file.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            partner = await tx.partners.get(file.partner_id)
        profile = _profile(partner)
        async with heartbeating(), await self._sources.connect(tenant, partner.source_id) as session:
            sha256 = await _fingerprint(session, file)
            if sha256 is None:
                return StagedStatement(statement_id=None, state="changed")
            opened = await self._open(tenant, file, sha256, profile)
            statement = opened.statement
            if statement.state == "open":
                source = Source(file.path, sha256, file.mtime, file.name.lower().endswith(".gz"), profile)
                return await self._read(tenant, partner, statement, source, session)
            if statement.state == "refused" or (statement.state == "staged" and _is_itself(statement, file)):
                return _told(statement)
            return await _known(session, file, statement)

    async def _open(
        self, tenant: Tenant, file: StatementFile, sha256: str, profile: StatementProfile
    ) -> "OpenedStatement":
        async with self._db.transaction(tenant) as tx:
            return await tx.statements.open_file(
                file.partner_id,
                name=file.name,
                location=file.path,
                sha256=sha256,
                size=file.size,
                mtime=file.mtime,
                profile=hashlib.sha256(profile.model_dump_json().encode()).hexdigest(),
            )

    async def _read(
        self,
        tenant: Tenant,
        partner: "Partner",
        statement: "Statement",
        source: Source,
        session: "SftpSession",
    ) -> StagedStatement:
        try:
            staged = await self._stager.stage(
                tenant,
                statement.id,
                source,
                session,
                refusal=lambda read: _other_period(partner, read, source.profile),
            )
        except FileRefused as error:
            staged = await self._refuse(tenant, statement, error.message)
        except FileChanged:
            async with self._db.transaction(tenant) as tx:
                await tx.statements.discard(statement.id)
            return StagedStatement(statement_id=None, state="changed")
        return _told(staged)

    async def _refuse(self, tenant: Tenant, statement: "Statement", reason: str) -> "Statement":
        async with self._db.transaction(tenant) as tx:
            return await tx.statements.refuse(statement.id, reason)

    @activity.defn(name="statements.put_away")
    async def put_away(self, ref: PartnerRunRef) -> PutAway:
        """Move the files of closed and of refused statements out of the partner's folder."""
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            partner = await tx.partners.get(ref.partner_id)
            waiting = await tx.statements.to_put_away(ref.partner_id)
        if not waiting:
            return PutAway(moved=0, problems=[])
        moved, problems = 0, []
        async with heartbeating(), await self._sources.connect(tenant, partner.source_id) as session:
            for statement in waiting:
                problem = await _move(session, statement)
                if problem is not None:
                    problems.append(problem)
                    continue
                moved += 1
                async with self._db.transaction(tenant) as tx:
                    await tx.statements.put_away(statement.id)
        return PutAway(moved=moved, problems=problems)


def _profile(partner: "Partner") -> StatementProfile:
    try:
        return profile_of(partner.kind, partner.statement_profile)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"]))
        raise Invalid(
            f"the statement profile of {partner.name} cannot be used: {place}: {found['msg']}"
        ) from None


async def _fingerprint(session: "SftpSession", file: StatementFile) -> str | None:
    """SHA-256 in hex, or None when the file is gone or no longer what was seen."""
    try:
        now = await session.stat(file.path)
        if (now.size, now.mtime) != (file.size, file.mtime):
            return None
        sha256, size = await session.fingerprint(file.path)
    except DomainError as error:
        if error.retryable:
            raise
        activity.logger.info("statement left for the next run", extra={"error_type": error.type})
        return None
    return sha256 if size == file.size else None


def _other_period(partner: "Partner", statement: "Statement", profile: StatementProfile) -> str | None:
    """Why a statement is of a period that is over, if it is: all of it is older than anything still said.

    Payments are found however late their statement comes.
    """
    oldest = datetime.now(UTC) - timedelta(days=partner.stale_after_days)
    if profile.kind == "payments" or statement.newest_at is None or statement.newest_at >= oldest:
        return None
    return (
        f"The newest of its lines is of {statement.newest_at:%Y-%m-%d}; this partner's statements are used"
        f" for {partner.stale_after_days} days, so this one is of another period. Send a statement of today."
    )


def _is_itself(statement: "Statement", file: StatementFile) -> bool:
    """Whether the file is the one that was staged, still in its place; else it is a copy of it."""
    seen = (statement.location, statement.file_mtime)
    return statement.put_away_at is None and seen == (file.path, file.mtime)


def _told(statement: "Statement") -> StagedStatement:
    return StagedStatement(
        statement_id=statement.id,
        state="refused" if statement.state == "refused" else "staged",
        reason=statement.reason,
        lines=statement.lines,
        problems=statement.problems,
    )


async def _known(session: "SftpSession", file: StatementFile, statement: "Statement") -> StagedStatement:
    """Content that was staged before: it changes nothing, and a copy of it is put away at once."""
    reason = None
    if not file.dry_run and not _is_itself(statement, file):
        folder, name = posixpath.split(file.path)
        target = posixpath.join(folder, PROCESSED, f"again-{file.found_at:%Y%m%dT%H%M%S%f}-{name}")
        try:
            await session.move(file.path, target, size=file.size, mtime=file.mtime)
        except DomainError as error:
            if error.retryable:
                raise
            reason = error.message
    return StagedStatement(
        statement_id=statement.id,
        state="known",
        reason=reason,
        lines=statement.lines,
        problems=statement.problems,
    )


async def _move(session: "SftpSession", statement: "Statement") -> str | None:
    """Move a statement's file into the folder of its state; why not, if that is not possible."""
    if statement.location is None:
        raise RuntimeError("a statement file has a place where it lies")
    folder, name = posixpath.split(statement.location)
    target = posixpath.join(folder, _FOLDERS[statement.state], f"{statement.id}-{name}")
    try:
        await session.move(statement.location, target, size=statement.file_bytes, mtime=statement.file_mtime)
    except DomainError as error:
        if error.retryable:
            raise
        # Gone, or another file by now: nothing of this one is left there.
        return None if error.type in _NOT_THERE else error.message
    return None
