"""Reading a list for an export: with the rights that whoever asked for it has now, in one snapshot."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from activities.exports import Block, Reading
from domain.errors import Forbidden
from domain.tenancy import Role, Tenant
from services import export_csv
from services.access import Principal, Right, require
from services.export_lists import LISTS, ExportList, Listing

if TYPE_CHECKING:
    from db.models import ExportJob
    from db.session import Database, Transaction


class NoLongerAllowed(Forbidden):
    """Whoever asked for the export was deactivated or has other rights by now."""

    type = "export-no-longer-allowed"
    title = "Export no longer allowed"


class ListReading:
    """A list in one transaction, of which every statement sees the same rows."""

    def __init__(
        self,
        tx: "Transaction",
        who: Principal,
        listing: Listing[Any, Any],
        wanted: Any,
        total: int | None,
    ) -> None:
        self._tx = tx
        self._who = who
        self._listing = listing
        self._wanted = wanted
        self.total = total
        self.sees_only = who.sees_only

    async def blocks(self) -> AsyncIterator[Block]:
        """The file, page by page; rows become text in a thread, while the next page is read."""
        yield Block(0, export_csv.head(self._listing.columns))
        writing: asyncio.Task[Block] | None = None
        try:
            async for rows in self._listing.pages(self._tx, self._who, self._wanted):
                # A session keeps what it has read otherwise, up to the last row.
                self._tx.session.expunge_all()
                if writing is not None:
                    yield await writing
                writing = asyncio.create_task(asyncio.to_thread(_block, self._listing, rows))
            if writing is not None:
                yield await writing
        finally:
            if writing is not None:
                writing.cancel()


def _block(listing: Listing[Any, Any], rows: Sequence[Any]) -> Block:
    return Block(len(rows), export_csv.lines(listing.columns, map(listing.shown, rows)))


class ListReader:
    """Opens lists for exports."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    @asynccontextmanager
    async def open(self, job: "ExportJob") -> AsyncIterator[Reading]:
        """The list of an export. ``NoLongerAllowed``; what the list itself raises comes with its rows."""
        listing = LISTS[ExportList(job.list_name)]
        wanted = listing.kept(job.wanted)
        async with self._database.transaction(_tenant(job), snapshot=True) as tx:
            who = await requester(tx, job)
            _check(who, listing)
            total = None if listing.count is None else await listing.count(tx, who, wanted)
            yield ListReading(tx, who, listing, wanted, total)

    async def check(self, job: "ExportJob", reading: Reading) -> None:
        """``NoLongerAllowed`` when what was read is not for whoever has asked any more."""
        async with self._database.transaction(_tenant(job)) as tx:
            who = await requester(tx, job)
        _check(who, LISTS[ExportList(job.list_name)])
        if who.sees_only != reading.sees_only:
            raise NoLongerAllowed(f"the rights of {job.requested_by} have changed; export the list again")


async def requester(tx: "Transaction", job: "ExportJob") -> Principal:
    """Whoever asked for an export, as they are now. ``NoLongerAllowed`` when they are deactivated."""
    if job.requested_by_id is None:
        return Principal.operator(job.requested_by, job.agency_id)
    standing = await tx.users.standing(job.requested_by_id)
    if standing is None or not standing.active or standing.agency_id not in {None, job.agency_id}:
        raise NoLongerAllowed(f"{job.requested_by}, who asked for it, is no longer active here")
    return Principal(
        user_id=standing.user_id,
        username=standing.username,
        role=Role(standing.role),
        agency_id=job.agency_id,
        collector_id=standing.collector_id,
    )


def _check(who: Principal, listing: Listing[Any, Any]) -> None:
    try:
        require(who, Right.EXPORT_LISTS)
        require(who, listing.right)
    except Forbidden as error:
        raise NoLongerAllowed(f"{who.username}, who asked for it, may not read the list now") from error


def _tenant(job: "ExportJob") -> Tenant:
    return Tenant.system(job.agency_id, "export")
