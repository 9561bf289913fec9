"""What a user may ask of imports: see them, have inboxes looked into, send a file."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

import structlog
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.imports import file_of
from activities.messages import AgencyRef
from domain.csv_text import mend_file
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.import_profiles import ImportProfile
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage, StoredObject, object_key
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.import_views import ImportView, PollView, import_view
from services.progress import ENDS, EPOCH, Progress
from services.web_ui import WebUi
from workflows import attributes, queues
from workflows.portfolio import PortfolioImport, PortfolioPoll

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import ImportJob, ImportProblem
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

REFUSALS_AT_ONCE = 1000
NEWEST = 50
"""Among how many imports, the newest, those that are under way are looked for."""

MAX_FILE_NAME = 255
_log = structlog.stdlib.get_logger("imports")
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+\.csv(\.gz)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImportFilter:
    """What a list of imports is narrowed to; empty means any."""

    statuses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An agency's newest imports, newest first, as they stand together: there is no end to follow."""

    newest: "Sequence[ImportJob]"
    status: str = "processing"

    @property
    def updated_at(self) -> datetime:
        """When the last of them changed."""
        return max((job.updated_at for job in self.newest), default=EPOCH)

    @property
    def standing(self) -> str:
        """Which there are and how each stands, in a few characters: others when one begins or ends."""
        stand = "".join(f"{job.id}{job.status}" for job in self.newest)
        return sha256(stand.encode()).hexdigest()[:16]

    @property
    def going(self) -> "list[ImportJob]":
        """Those that have not ended."""
        return [job for job in self.newest if job.status not in ENDS]


class Upload(Protocol):
    """A file on its way in, iterated once. ``name`` and ``source_id`` are read from the request as it
    arrives, so both are sure only when the iteration has ended."""

    name: str
    source_id: UUID | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...


def check_file_name(name: str) -> str:
    """The base name of an uploaded file. ``Invalid`` unless it is a ``.csv`` or ``.csv.gz``."""
    base = re.split(r"[/\\]", name)[-1]
    if len(base) > MAX_FILE_NAME or not _FILE_NAME.fullmatch(base):
        raise Invalid("file: send a portfolio file named *.csv or *.csv.gz", field="file")
    return base


class ImportService:
    """Imports of the principal's agency."""

    def __init__(
        self,
        database: "Database",
        client: Client,
        storage: ObjectStorage,
        web_ui: WebUi,
        *,
        upload_max_bytes: int,
    ) -> None:
        self._database = database
        self._client = client
        self._storage = storage
        self._web_ui = web_ui
        self._upload_max_bytes = upload_max_bytes
        self.events = Progress(self._read)
        self.under_way = Progress(self._read_newest)

    @property
    def upload_max_bytes(self) -> int:
        """How large a file may be that is sent to us."""
        return self._upload_max_bytes

    def view(self, job: "ImportJob") -> ImportView:
        """An import as callers see it now."""
        workflow_id = queues.import_workflow_id(job.agency_id, job.sha256)
        return import_view(job, self._web_ui.workflow(workflow_id))

    async def page(
        self, who: Principal, wanted: ImportFilter, position: "Position | None", limit: int
    ) -> "Sequence[ImportJob]":
        """At most ``limit`` imports next to ``position``, nearest first."""
        require(who, Right.READ_IMPORTS)
        async with self._database.transaction(who.tenant) as tx:
            return await tx.import_reports.page(position, limit, statuses=wanted.statuses)

    async def get(self, who: Principal, import_id: UUID) -> "ImportJob":
        """One import. ``NotFound`` when it is not there or not this agency's."""
        require(who, Right.READ_IMPORTS)
        return await self._read(who.tenant.agency_id, import_id)

    async def _read(self, agency_id: UUID, import_id: UUID) -> "ImportJob":
        async with self._database.transaction(Tenant.system(agency_id, "imports")) as tx:
            return await _known(tx, import_id)

    async def _read_newest(self, agency_id: UUID, _: UUID) -> UnderWay:
        async with self._database.transaction(Tenant.system(agency_id, "imports")) as tx:
            return UnderWay(await tx.import_reports.page(None, NEWEST))

    async def newest(self, who: Principal) -> UnderWay:
        """The newest imports, whatever a list of them is narrowed to."""
        require(who, Right.READ_IMPORTS)
        return await self._read_newest(who.tenant.agency_id, who.tenant.agency_id)

    async def problems(
        self,
        who: Principal,
        import_id: UUID,
        position: "Position | None",
        limit: int,
        *,
        severity: str | None = None,
    ) -> "Sequence[ImportProblem]":
        """Problems of one import from its first line on, next to ``position``, nearest first."""
        require(who, Right.READ_IMPORTS)
        async with self._database.transaction(who.tenant) as tx:
            await _known(tx, import_id)
            return await tx.import_reports.problems(import_id, position, limit, severity=severity)

    async def original(self, who: Principal, import_id: UUID, line: int) -> str:
        """The text of the refused record that began on ``line``, as it came: for those who may send files.

        It may show social security digits, so looking is audited. ``NotFound`` where none was refused.
        """
        require(who, Right.RUN_IMPORTS)
        async with self._database.transaction(who.tenant) as tx:
            await _known(tx, import_id)
            found = await tx.import_reports.refused(import_id, after_line=line - 1, limit=1)
            if not found or found[0].line != line:
                raise NotFound(f"no record that begins on line {line} was refused")
            await tx.audit.record("import.refusal_shown", "import", import_id, new={"line": line})
        return found[0].text

    async def mendable(self, who: Principal, import_id: UUID) -> "tuple[ImportJob, AsyncIterator[str]]":
        """The refused records as a CSV file to be mended and sent again, line by line.

        It shows what creditors sent, social security digits included: for those who may send files.
        ``Conflict`` when the file had no readable header. Downloads are audited.
        """
        require(who, Right.RUN_IMPORTS)
        async with self._database.transaction(who.tenant) as tx:
            job = await _known(tx, import_id)
            if not job.header:
                raise Conflict("the file had no readable header; mend the original and send it again")
            await tx.audit.record("import.refusals_downloaded", "import", import_id)
        return job, self._mended(who.tenant, job)

    async def _mended(self, tenant: Tenant, job: "ImportJob") -> AsyncIterator[str]:
        profile = ImportProfile.model_validate(job.profile)
        count, last_line = 0, 0
        yield next(mend_file(job.header, (), delimiter=profile.delimiter))
        while True:
            async with self._database.transaction(tenant) as tx:
                records = await tx.import_reports.refused(
                    job.id, after_line=last_line, limit=REFUSALS_AT_ONCE
                )
            if not records:
                break
            count, last_line = count + len(records), records[-1].line
            texts = (record.text for record in records)
            for line in islice(mend_file(job.header, texts, delimiter=profile.delimiter), 1, None):
                yield line
        if profile.control is not None:
            yield next(mend_file((profile.control.marker, str(count), ""), (), delimiter=profile.delimiter))

    async def poll(self, who: Principal, command: CommandKey) -> "Answer":
        """Look into the agency's inboxes now (202); a poll that is at work is answered instead."""
        require(who, Right.RUN_IMPORTS)
        agency_id = who.tenant.agency_id

        async def effect(tx: "Transaction") -> PollView:
            workflow_id = queues.poll_workflow_id(agency_id)
            await tx.audit.record("import.poll_requested", "agency", agency_id)
            handle = await self._client.start_workflow(
                PortfolioPoll.run,
                AgencyRef(agency_id=agency_id),
                id=workflow_id,
                task_queue=queues.LIFECYCLE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(agency_id),
                static_summary="poll of the portfolio inboxes",
                rpc_timeout=PATIENCE,
            )
            run_id = handle.first_execution_run_id
            return PollView(
                workflow_id=workflow_id, run_id=run_id, web_ui_url=self._web_ui.workflow(workflow_id, run_id)
            )

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def upload(self, who: Principal, command: CommandKey, upload: Upload) -> "Answer":
        """Take a file in (202): stored while it arrives, then imported like one from an inbox.

        The same bytes are the same import, unless that failed. ``Invalid`` for a wrong name, a
        source that is not there or a file above the limit.
        """
        require(who, Right.RUN_IMPORTS)
        agency_id = who.tenant.agency_id
        key = object_key(agency_id, "uploads", uuid4().hex)
        stored = await self._storage.put_stream(key, upload, max_bytes=self._upload_max_bytes)
        try:
            answer = await self._open(who, command, upload, stored)
        except BaseException:
            await self._drop_unless_imported(agency_id, stored)
            raise
        job = await self._read(agency_id, UUID(answer.body["id"]))
        if job.location != key:
            await self._storage.delete(key)
        if job.channel == "upload" and job.status in {"pending", "processing"}:
            await self._start(job)
        return answer

    async def _open(
        self, who: Principal, command: CommandKey, upload: Upload, stored: StoredObject
    ) -> "Answer":
        file_name = check_file_name(upload.name)

        async def effect(tx: "Transaction") -> ImportView:
            job, created = await tx.imports.open(
                channel="upload",
                source_id=upload.source_id,
                location=stored.key,
                file_name=file_name,
                sha256=stored.sha256,
                size=stored.size,
                profile=await _profile(tx, upload.source_id),
                requested_by=who.username,
            )
            if created:
                await tx.audit.record("import.uploaded", "import", job.id, new={"file": file_name})
            return self.view(job)

        source_id = str(upload.source_id) if upload.source_id else None
        body = {"file": file_name, "sha256": stored.sha256, "source_id": source_id}
        identified = CommandKey(command.operation, command.key, body)
        return await carry_out(self._database, who.tenant, identified, effect, status=202)

    async def _drop_unless_imported(self, agency_id: UUID, stored: StoredObject) -> None:
        """Remove a file that nothing has come of: a commit of which nobody has heard may have been done.

        Where the database cannot be asked, the file is left: one too many is better than one that is missed.
        """
        try:
            async with self._database.transaction(Tenant.system(agency_id, "imports")) as tx:
                job = await tx.imports.by_content(stored.sha256)
        except Unavailable:
            _log.warning("a file that was sent is left in storage", key=stored.key)
            return
        if job is None or job.location != stored.key:
            await self._storage.delete(stored.key)

    async def _start(self, job: "ImportJob") -> None:
        """Start the workflow of an uploaded file, unless it is at work or done."""
        try:
            await self._client.start_workflow(
                PortfolioImport.run,
                file_of(job),
                id=queues.import_workflow_id(job.agency_id, job.sha256),
                task_queue=queues.LIFECYCLE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=attributes.of_agency(job.agency_id),
                priority=Priority(fairness_key=str(job.agency_id)),
                static_summary=f"portfolio file of {job.bytes_total:,} bytes",
                rpc_timeout=PATIENCE,
            )
        except WorkflowAlreadyStartedError:
            return


async def _known(tx: "Transaction", import_id: UUID) -> "ImportJob":
    job = await tx.import_reports.get(import_id)
    if job is None:
        raise NotFound("there is no such import")
    return job


async def _profile(tx: "Transaction", source_id: UUID | None) -> dict[str, Any]:
    """The layout of an uploaded file: that of a source if one is named, else the standard one."""
    if source_id is None:
        return ImportProfile().model_dump(mode="json")
    try:
        return dict((await tx.sources.get(source_id)).profile)
    except NotFound:
        raise Invalid("source_id: there is no such SFTP source", field="source_id") from None
