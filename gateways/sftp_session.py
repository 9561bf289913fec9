"""What can be done on an open SFTP session.

Every method raises the errors of ``gateways.sftp_errors``: ``SftpUnavailable`` is worth another
try (with a new session), nothing else is.
"""

import asyncio
import contextlib
import fnmatch
import hashlib
import posixpath
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh

from gateways.remote_names import check_path, name_refusal, shown, split
from gateways.sftp_errors import (
    FAILURES,
    RemoteFileChanged,
    RemoteFileExists,
    RemoteFileMissing,
    RemoteFileRefused,
    SftpPermissionDenied,
    translated,
)

READ_BLOCK: Final = 1 << 20
DEFAULT_PATTERNS: Final = ("*.csv", "*.csv.gz")
_LOOKS_AT_ONCE: Final = 16
_CLOSE_S: Final = 5.0
_KINDS: Final = {
    asyncssh.FILEXFER_TYPE_SYMLINK: "a symbolic link",
    asyncssh.FILEXFER_TYPE_DIRECTORY: "a folder",
    asyncssh.FILEXFER_TYPE_UNKNOWN: "of a kind that the server does not tell",
}

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A regular file: ``size`` in bytes, ``mtime`` in whole seconds since the epoch (all that SFTP 3 has)."""

    path: str
    name: str
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """A file that looks wanted but is not taken. ``name`` is escaped for showing; ``reason`` is a clause."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's wanted files and the refused ones, each by name."""

    files: tuple[RemoteFile, ...]
    refused: tuple[RefusedEntry, ...]


class SftpSession:
    """One login on one server, for one task at a time; made by ``SftpGateway.connect``."""

    def __init__(self, client: asyncssh.SFTPClient, *, place: str, timeout_s: float) -> None:
        self._client = client
        self._place = place
        self._timeout_s = timeout_s

    async def list_files(self, folder: str, patterns: Sequence[str] = DEFAULT_PATTERNS) -> Listing:
        """The regular files of ``folder`` whose names match one of ``patterns`` (shell style, any case).

        Folders and hidden files (a leading dot: an upload under way) are passed over. Symbolic links,
        devices and names unsafe to use are reported as refused. Raises ``RemoteFileMissing`` when there
        is no such folder.
        """
        check_path(folder)
        async with self._asking(folder):
            names = [str(entry.filename) async for entry in self._client.scandir(folder)]
        wanted = sorted(name for name in names if _matches(name, patterns))
        limit = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def look(name: str) -> RemoteFile | RefusedEntry | None:
            async with limit:
                return await self._look(folder, name)

        found = await asyncio.gather(*(look(name) for name in wanted))
        return Listing(
            files=tuple(entry for entry in found if isinstance(entry, RemoteFile)),
            refused=tuple(entry for entry in found if isinstance(entry, RefusedEntry)),
        )

    async def stat(self, path: str) -> RemoteFile:
        """The regular file at ``path``; links are not followed.

        Raises ``RemoteFileMissing``, or ``RemoteFileRefused`` when it is anything but a regular file.
        """
        check_path(path)
        async with self._asking(path):
            attributes = await self._client.lstat(path)
        return self._regular(path, attributes)

    async def read(self, path: str, offset: int = 0, block: int = READ_BLOCK) -> AsyncGenerator[bytes, None]:
        """The bytes from ``offset`` to the end, in blocks of ``block`` bytes (the last one shorter).

        The end is the size at opening; ``RemoteFileChanged`` is raised when fewer bytes come, when the
        file has another size or time afterwards, or when ``offset`` is beyond its end. A consumer that
        may stop early closes it: ``async with contextlib.aclosing(session.read(…)) as blocks``.
        """
        if offset < 0 or block <= 0:
            raise ValueError("offset must be zero or more and block more than zero")
        async with self._opened(path) as (file, described):
            if offset > described.size:
                raise RemoteFileChanged(
                    f"{self._at(path)}: {described.size} bytes long, but {offset} were read before"
                )
            for position in range(offset, described.size, block):
                yield await self._block(file, path, position, min(block, described.size - position))
            async with self._asking(path):
                attributes = await file.stat()
            self._same(described, self._regular(path, attributes))

    async def fingerprint(self, path: str, on_progress: Progress | None = None) -> tuple[str, int]:
        """SHA-256 (hex) and size of the file as read from end to end; ``on_progress`` after each block."""
        digest = hashlib.sha256()
        done = 0
        size = (await self.stat(path)).size
        async with contextlib.aclosing(self.read(path)) as blocks:
            async for data in blocks:
                digest.update(data)
                done += len(data)
                if on_progress is not None:
                    on_progress(done, size)
        return digest.hexdigest(), done

    async def move(self, src: str, dst: str, *, size: int | None = None, mtime: int | None = None) -> None:
        """Rename ``src`` to ``dst``, making the folder of ``dst``. May be repeated, and overwrites nothing.

        Done already when ``src`` is gone and ``dst`` is there (with ``size``, where given). With ``size``,
        a ``dst`` of that size also counts as done when ``src`` is there again: give ``size`` only with a
        ``dst`` that no other move uses, so that a new file under the old name is left for the next poll.

        Raises ``RemoteFileExists`` (another file is at ``dst``), ``RemoteFileChanged`` (``src`` no longer
        has the ``size`` or ``mtime`` given: it is another file by now), ``RemoteFileMissing`` (neither is
        there), ``RemoteFileRefused``.

        The rename is that of SFTP 3, which the server refuses for a name in use (draft-ietf-secsh-
        filexfer-02, section 6.5); ``posix-rename@openssh.com`` would replace the other file silently.
        """
        placed = await self._find(dst)
        waiting = await self._find(src)
        if placed is not None:
            if placed.size == size or (size is None and waiting is None):
                return
            raise RemoteFileExists(f"{self._at(dst)}: another file has this name; move it away by hand")
        if waiting is None:
            raise RemoteFileMissing(
                f"{self._at(src)}: no such file, and it was not moved to {shown(dst)} either"
            )
        if size not in {None, waiting.size} or mtime not in {None, waiting.mtime}:
            raise RemoteFileChanged(
                f"{self._at(src)}: replaced by another file since it was read; left there"
            )
        folder, _ = split(dst)
        async with self._asking(folder):
            if not await self._client.isdir(folder):
                await self._client.makedirs(folder, exist_ok=True)
        async with self._asking(dst):
            await self._client.rename(src, dst)

    async def make_folder(self, path: str) -> None:
        """Make a folder, and those above it, unless it is there."""
        check_path(path)
        async with self._asking(path):
            if not await self._client.isdir(path):
                await self._client.makedirs(path, exist_ok=True)

    async def upload(self, source: Path | bytes, dst: str, on_progress: Progress | None = None) -> RemoteFile:
        """Write ``source`` (a local file or its bytes) to ``dst``, replacing what is there.

        It is written under a hidden temporary name in the same folder and renamed when complete, so no
        poller ever sees half a file; after a failure the temporary file is removed. Raises
        ``RemoteFileMissing`` when the folder is not there, ``OSError`` when the local file cannot be read.
        """
        check_path(dst)
        folder, _ = split(dst)
        temporary = posixpath.join(folder, f".{secrets.token_hex(8)}.part")
        try:
            written = await self._write(source, temporary, on_progress)
            self._complete(dst, written, await self.stat(temporary))
            await self._replace(temporary, dst)
        except BaseException:
            await self._discard(temporary)
            raise
        return await self.stat(dst)

    async def _look(self, folder: str, name: str) -> RemoteFile | RefusedEntry | None:
        reason = name_refusal(name)
        if reason is not None:
            return RefusedEntry(shown(name), reason)
        path = posixpath.join(folder, name)
        try:
            async with self._asking(path):
                attributes = await self._client.lstat(path)
            if attributes.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
                return None
            return self._regular(path, attributes)
        except RemoteFileMissing:  # taken away between the listing and this look
            return None
        except RemoteFileRefused as refusal:
            return RefusedEntry(shown(name), str(refusal.details["reason"]))
        except SftpPermissionDenied:
            return RefusedEntry(
                shown(name), "the server denies it to this login, as for a link that leads elsewhere"
            )

    async def _find(self, path: str) -> RemoteFile | None:
        try:
            return await self.stat(path)
        except RemoteFileMissing:
            return None

    @contextlib.asynccontextmanager
    async def _opened(self, path: str) -> AsyncIterator[tuple[asyncssh.SFTPClientFile, RemoteFile]]:
        """Open a regular file for reading.

        SFTP 3 cannot open without following links, so the name is looked at before (a device is not even
        touched) and again after: what was opened must be what the name itself stands for.
        """
        await self.stat(path)
        async with self._asking(path):
            file = await self._client.open(path, "rb", encoding=None)
        try:
            async with self._asking(path):
                attributes = await file.stat()
            described = self._regular(path, attributes)
            self._same(described, await self.stat(path))
            yield file, described
        finally:
            await _close(file)

    async def _block(self, file: asyncssh.SFTPClientFile, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Short answers are asked for again by asyncssh; holes are not accepted."""
        data = bytearray(length)
        received = 0
        async with self._asking(path):
            async for position, piece in await file.read_parallel(length, offset):
                start = position - offset
                data[start : start + len(piece)] = piece
                received += len(piece)
        if received != length:
            missing = f"{received} of {length} bytes came from position {offset}"
            raise RemoteFileChanged(f"{self._at(path)}: cut short while it was read ({missing})")
        return bytes(data)

    async def _write(self, source: Path | bytes, path: str, on_progress: Progress | None) -> int:
        size = len(source) if isinstance(source, bytes) else (await asyncio.to_thread(source.stat)).st_size
        done = 0
        async with self._asking(path):
            file = await self._client.open(path, "xb", encoding=None)
        try:
            async for data in _pieces(source):
                async with self._asking(path):
                    await file.write(data, done)
                done += len(data)
                if on_progress is not None:
                    on_progress(done, size)
            async with self._asking(path):
                await file.close()
        finally:
            await _close(file)
        return done

    async def _replace(self, src: str, dst: str) -> None:
        async with self._asking(dst):
            try:
                await self._client.posix_rename(src, dst)
            except asyncssh.SFTPOpUnsupported:
                await self._client.rename(src, dst)

    async def _discard(self, path: str) -> None:
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_S):
                await self._client.remove(path)

    def _regular(self, path: str, attributes: asyncssh.SFTPAttrs) -> RemoteFile:
        if attributes.type != asyncssh.FILEXFER_TYPE_REGULAR or attributes.size is None:
            reason = (
                f"it is {_KINDS.get(attributes.type, 'a device or another special file')}, not a regular file"
            )
            raise RemoteFileRefused(f"{self._at(path)}: refused, {reason}", reason=reason)
        return RemoteFile(path, split(path)[1], attributes.size, attributes.mtime or 0)

    def _same(self, before: RemoteFile, after: RemoteFile) -> None:
        if before != after:
            change = f"{before.size} bytes before, {after.size} after"
            raise RemoteFileChanged(
                f"{self._at(before.path)}: changed while it was read ({change}); take it later"
            )

    def _complete(self, path: str, written: int, arrived: RemoteFile) -> None:
        if arrived.size != written:
            counts = f"{written} bytes sent, {arrived.size} arrived"
            raise RemoteFileChanged(f"{self._at(path)}: {counts}; send it again")

    def _at(self, path: str) -> str:
        return f"{self._place}, {shown(path)}"

    @contextlib.asynccontextmanager
    async def _asking(self, path: str) -> AsyncIterator[None]:
        """One request: bounded in time, its failures translated with the place they happened at."""
        with translated(self._at(path)):
            async with asyncio.timeout(self._timeout_s):
                yield


def _matches(name: str, patterns: Sequence[str]) -> bool:
    lowered = name.lower()
    return not name.startswith(".") and any(
        fnmatch.fnmatchcase(lowered, pattern.lower()) for pattern in patterns
    )


async def _pieces(source: Path | bytes) -> AsyncIterator[bytes]:
    if isinstance(source, bytes):
        for start in range(0, len(source), READ_BLOCK):
            yield source[start : start + READ_BLOCK]
        return
    file = await asyncio.to_thread(source.open, "rb")
    try:
        while data := await asyncio.to_thread(file.read, READ_BLOCK):
            yield data
    finally:
        file.close()


async def _close(file: asyncssh.SFTPClientFile) -> None:
    """Close a handle; on a lost connection the server has done it."""
    with contextlib.suppress(*FAILURES):
        async with asyncio.timeout(_CLOSE_S):
            await file.close()
