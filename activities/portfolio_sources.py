"""Where the bytes of a portfolio file are, and where it is put when it is done with."""

import contextlib
import posixpath
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from domain.errors import NotFound
from gateways.sftp_endpoint import SftpEndpoint
from gateways.sftp_errors import RemoteFileMissing

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from uuid import UUID

    from db.models import ImportJob
    from db.session import Database
    from domain.tenancy import Tenant
    from gateways.sftp import SftpGateway
    from gateways.sftp_session import SftpSession
    from gateways.storage import ObjectStorage

DONE_SUFFIX = ".done"


class PortfolioSources:
    """Opens the SFTP servers and the object storage that imports read from."""

    def __init__(self, db: "Database", sftp: "SftpGateway", storage: "ObjectStorage") -> None:
        self._db = db
        self._sftp = sftp
        self._storage = storage

    async def connect(
        self, tenant: "Tenant", source_id: "UUID | None"
    ) -> "AbstractAsyncContextManager[SftpSession]":
        """A session on a source's server, not yet entered. ``NotFound`` without such a source."""
        if source_id is None:
            raise NotFound("the file has no SFTP source")
        async with self._db.transaction(tenant) as tx:
            secrets = await tx.sources.endpoint_secrets(source_id)
        return self._sftp.connect(
            SftpEndpoint(
                host=secrets.host,
                port=secrets.port,
                username=secrets.username,
                password=secrets.password,
                private_key=secrets.private_key,
                host_key=secrets.host_key,
            )
        )

    async def read(self, tenant: "Tenant", job: "ImportJob") -> AsyncGenerator[bytes, None]:
        """The file's bytes from its start; raises when it changes meanwhile."""
        if job.channel == "upload":
            async with contextlib.aclosing(self._storage.read(job.location)) as blocks:
                async for block in blocks:
                    yield block
            return
        async with (
            await self.connect(tenant, job.source_id) as session,
            contextlib.aclosing(session.read(job.location)) as blocks,
        ):
            async for block in blocks:
                yield block

    async def put_away(self, tenant: "Tenant", job: "ImportJob", folder: str, *, mtime: int | None) -> None:
        """Move an SFTP file into ``folder`` of its inbox as ``{import id}-{name}``; delete an upload.

        Size and ``mtime`` tell the file that was read from one that was put in its place since, which
        is left alone (``RemoteFileChanged``).
        """
        if job.channel == "upload":
            await self._storage.delete(job.location)
            return
        async with await self.connect(tenant, job.source_id) as session:
            inbox, name = posixpath.split(job.location)
            target = posixpath.join(inbox, folder, f"{job.id}-{name}")
            await session.move(job.location, target, size=job.bytes_total, mtime=mtime)
            await _move_done_file(session, job.location, target)

    async def put_away_again(
        self,
        tenant: "Tenant",
        source_id: "UUID",
        location: str,
        *,
        import_id: "UUID",
        mtime: int,
        found_at: "datetime",
    ) -> None:
        """Move a file whose content was imported before into the processed folder.

        ``found_at`` tells it from an earlier one: the same file may be sent any number of times.
        """
        async with await self.connect(tenant, source_id) as session:
            inbox, name = posixpath.split(location)
            again = f"{import_id}-again-{found_at:%Y%m%dT%H%M%S%f}-{name}"
            target = posixpath.join(inbox, "processed", again)
            await session.move(location, target, mtime=mtime)
            await _move_done_file(session, location, target)


async def _move_done_file(session: "SftpSession", location: str, target: str) -> None:
    """A file's ``.done`` goes with it: left behind, it would vouch for the next file of that name."""
    with contextlib.suppress(RemoteFileMissing):
        await session.move(location + DONE_SUFFIX, target + DONE_SUFFIX)
