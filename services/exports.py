"""What a user may ask of exports: have a list written into a file, watch that, fetch the file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDReusePolicy

from activities.exports import ExportRef
from domain.errors import Conflict, NotFound, TooManyRequests
from domain.tenancy import USER, Role, Tenant
from gateways.storage import ObjectStorage
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.export_files import DownloadTokens, ExportLinks
from services.export_lists import LISTS, ExportList
from services.export_views import ExportLink, ExportView, export_view, file_name_of, is_available
from services.progress import Progress
from services.web_ui import WebUi
from workflows import attributes, queues
from workflows.exports import Export

if TYPE_CHECKING:
    from db.commands import Answer
    from db.keyset import Position
    from db.models import ExportJob
    from db.session import Database, Transaction

PATIENCE = timedelta(seconds=5)
"""How long Temporal may take to answer."""

AT_ONCE_PER_USER = 2
AT_ONCE_PER_AGENCY = 5
RETRY_AFTER_S = 30
_SEES_ALL = frozenset({Role.AGENCY_ADMIN, Role.PLATFORM_ADMIN})
"""Who sees the exports of everybody in an agency."""


class TooManyExports(TooManyRequests):
    """As many exports as are allowed are at work."""

    type = "too-many-exports"
    title = "Too many exports at work"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A list that is to be exported: its filter as it was written, and as it was understood."""

    list: ExportList
    filters: Mapping[str, Any]
    wanted: Any
    format: str = "csv"


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file on its way out; ``size`` in bytes."""

    name: str
    size: int
    blocks: AsyncIterator[bytes]


class ExportService:
    """Exports of the principal's agency: one's own, and everybody's for administrators."""

    def __init__(
        self,
        database: "Database",
        client: Client,
        storage: ObjectStorage,
        web_ui: WebUi,
        tokens: DownloadTokens,
        base_url: str,
    ) -> None:
        self._database = database
        self._client = client
        self._storage = storage
        self._web_ui = web_ui
        self._tokens = tokens
        self._links = ExportLinks(storage, tokens, base_url)
        self.events = Progress(self._read)

    async def ask(self, who: Principal, command: CommandKey, request: ExportRequest) -> "Answer":
        """Have a list written into a file (202).

        It is written with the rights that the principal has when that happens. ``Forbidden`` for who may not
        read the list, ``NotFound`` and ``Invalid`` as the list itself, ``TooManyExports`` (429). While
        Temporal is away ``RPCError`` is raised and nothing is left behind.
        """
        require(who, Right.EXPORT_LISTS)
        listing = LISTS[request.list]
        require(who, listing.right)

        async def effect(tx: "Transaction") -> ExportView:
            await _check_room(tx, who)
            await listing.page(tx, who, request.wanted, None, 1)
            job = await tx.exports.add(
                list_name=request.list.value,
                filters=dict(request.filters),
                wanted=listing.keep(request.wanted),
                format=request.format,
                requested_by=who.username,
                requested_by_id=who.user_id if who.kind == USER else None,
            )
            await tx.audit.record(
                "export.requested",
                "export",
                job.id,
                new={"list": job.list_name, "filters": job.filters, "format": job.format},
            )
            await self._start(job)
            return await self._view(tx, job)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def _start(self, job: "ExportJob") -> None:
        """Before the row is committed: the workflow waits for it a while. So no row is left that nobody
        writes, and that would count as one at work.
        """
        await self._client.start_workflow(
            Export.run,
            ExportRef(agency_id=job.agency_id, export_id=job.id),
            id=queues.export_workflow_id(job.id),
            task_queue=queues.LIFECYCLE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=attributes.of_agency(job.agency_id),
            priority=Priority(fairness_key=str(job.agency_id)),
            static_summary=f"export of {job.list_name}",
            rpc_timeout=PATIENCE,
        )

    async def page(
        self, who: Principal, statuses: Sequence[str], position: "Position | None", limit: int
    ) -> list[ExportView]:
        """At most ``limit`` exports next to ``position`` (id), nearest first."""
        require(who, Right.EXPORT_LISTS)
        theirs = None if who.role in _SEES_ALL else who.user_id
        async with self._database.transaction(who.tenant) as tx:
            jobs = await tx.exports.page(position, limit, statuses=statuses, requested_by_id=theirs)
            return [await self._view(tx, job) for job in jobs]

    async def get(self, who: Principal, export_id: UUID) -> ExportView:
        """One export. ``NotFound`` when it is not there, or not the principal's to see."""
        require(who, Right.EXPORT_LISTS)
        async with self._database.transaction(who.tenant) as tx:
            return await self._view(tx, await _visible(tx, who, export_id))

    async def link(self, who: Principal, export_id: UUID) -> ExportLink:
        """A link to the file, good for some minutes and for whoever has it; each is audited.

        ``NotFound`` as ``get``; ``Conflict`` while there is no file, or none any more; ``Forbidden`` for who
        would not see all of its rows in the list itself any more.
        """
        async with self._database.transaction(who.tenant) as tx:
            job, location = await _granted(tx, who, export_id)
            link = await self._links.of(job, location)
            await tx.audit.record("export.link_given", "export", export_id, new={"rows": job.rows_written})
        return link

    async def content(self, who: Principal, export_id: UUID) -> DownloadedFile:
        """The file itself, for whoever needs no link; raises as ``link``, and is audited."""
        async with self._database.transaction(who.tenant) as tx:
            job, location = await _granted(tx, who, export_id)
            await tx.audit.record("export.fetched", "export", export_id, new={"rows": job.rows_written})
        return await self._file(job, location)

    async def download(self, token: str) -> DownloadedFile:
        """The file that a link of ours is for. ``Malformed`` for a link that is not good, or no longer;
        ``Conflict`` when the file is gone, ``NotFound`` when nothing is known of it."""
        permit = self._tokens.read(token)
        async with self._database.transaction(Tenant.system(permit.agency_id, "export")) as tx:
            job = await tx.exports.get(permit.export_id)
            location = _location(job, tx)
        return await self._file(job, location)

    async def _file(self, job: "ExportJob", location: str) -> DownloadedFile:
        facts = await self._storage.stat(location)
        return DownloadedFile(file_name_of(job), facts.size, self._storage.read(location))

    async def _read(self, agency_id: UUID, export_id: UUID) -> ExportView:
        async with self._database.transaction(Tenant.system(agency_id, "export")) as tx:
            return await self._view(tx, await tx.exports.get(export_id))

    async def _view(self, tx: "Transaction", job: "ExportJob") -> ExportView:
        workflow_id = queues.export_workflow_id(job.id)
        return export_view(job, workflow_id, self._web_ui.workflow(workflow_id), now=tx.began_at)


async def _check_room(tx: "Transaction", who: Principal) -> None:
    load = await tx.exports.load(who.username)
    if load.of_user >= AT_ONCE_PER_USER:
        whose = f"you have {load.of_user} exports"
    elif load.of_agency >= AT_ONCE_PER_AGENCY:
        whose = f"the agency has {load.of_agency} exports"
    else:
        return
    raise TooManyExports(
        f"{whose} at work, as many as are allowed; ask again when one has ended", retry_after_s=RETRY_AFTER_S
    )


async def _visible(tx: "Transaction", who: Principal, export_id: UUID) -> "ExportJob":
    job = await tx.exports.find(export_id)
    if job is None or (who.role not in _SEES_ALL and job.requested_by_id != who.user_id):
        raise NotFound("there is no such export")
    return job


async def _granted(tx: "Transaction", who: Principal, export_id: UUID) -> "tuple[ExportJob, str]":
    """An export whose file the principal may have, and where that lies."""
    require(who, Right.EXPORT_LISTS)
    job = await _visible(tx, who, export_id)
    location = _location(job, tx)
    require(who, LISTS[ExportList(job.list_name)].right)
    if who.sees_only is not None and who.sees_only != job.sees_only:
        raise NotFound("there is no such export")
    return job, location


def _location(job: "ExportJob", tx: "Transaction") -> str:
    if job.location is None:
        raise Conflict(f"the export is {job.status}: there is no file", status=job.status)
    if not is_available(job, tx.began_at):
        raise Conflict("the file was removed, for its time is over; export the list again", status="expired")
    return job.location
