"""Staging a statement file: streamed, read and committed chunk by chunk, resumable after any of them."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.read_ahead import read_ahead
from activities.statement_file import ReadPosition, StatementChunk, StatementReader
from domain.errors import DomainError
from domain.import_profiles import FileRefused
from domain.statement_profiles import StatementProfile

if TYPE_CHECKING:
    from uuid import UUID

    from db.models import Statement
    from db.session import Database
    from domain.tenancy import Tenant
    from gateways.sftp_session import SftpSession

_Refusal = Callable[["Statement"], str | None]


class FileChanged(Exception):
    """The bytes are not those that the statement was opened for."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read: where it lies, what it should contain and how."""

    path: str
    sha256: str
    mtime: int
    gzip: bool
    profile: StatementProfile


class StatementStager:
    """Reads a file while its previous chunk is written; memory does not grow with the file."""

    def __init__(self, db: "Database") -> None:
        self._db = db

    async def stage(
        self,
        tenant: "Tenant",
        statement_id: "UUID",
        source: Source,
        session: "SftpSession",
        *,
        refusal: _Refusal = lambda _: None,
    ) -> "Statement":
        """Stage a file to its end, from the last committed chunk on; or refuse it, read whole, for what
        ``refusal`` says of it.

        Raises ``FileRefused`` when it is no statement, ``FileChanged`` when it is not the file that was seen.
        """
        async with self._db.transaction(tenant) as tx:
            holder, position = await tx.statements.take_over(statement_id)
        reader = StatementReader(
            source.profile,
            read_at=datetime.now(UTC),
            stated_at=datetime.fromtimestamp(source.mtime, UTC),
            gzip=source.gzip,
            resume=ReadPosition.model_validate(position) if position is not None else None,
        )

        async def commit(chunk: StatementChunk) -> None:
            async with self._db.transaction(tenant) as tx:
                at = chunk.position.model_dump(mode="json")
                await tx.statements.append_lines(statement_id, holder, chunk.lines, at)

        await read_ahead(_read(session, source, reader), commit)
        async with self._db.transaction(tenant) as tx:
            statement = await tx.statements.finish(statement_id, holder, undated=reader.undated)
            reason = refusal(statement)
            return statement if reason is None else await tx.statements.refuse(statement_id, reason)


async def _read(
    session: "SftpSession", source: Source, reader: StatementReader
) -> AsyncIterator[StatementChunk]:
    refused: FileRefused | None = None
    digest = hashlib.sha256()
    try:
        async with contextlib.aclosing(session.read(source.path)) as blocks:
            async for block in blocks:
                digest.update(block)
                if refused is None:
                    try:
                        async for chunk in _threaded(reader.feed(block)):
                            yield chunk
                    except FileRefused as error:
                        # What follows is still hashed: a file that changed meanwhile is not refused for
                        # what half of each version says.
                        refused = error
    except DomainError as error:
        if error.retryable:
            raise
        raise FileChanged from error
    if digest.hexdigest() != source.sha256:
        raise FileChanged
    if refused is not None:
        raise refused
    async for chunk in _threaded(reader.finish()):
        yield chunk


async def _threaded(chunks: Iterator[StatementChunk]) -> AsyncIterator[StatementChunk]:
    """Reading is work for the processor; the event loop stays free for heartbeats and the writer."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
