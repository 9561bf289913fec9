"""Object storage behind one URL: a folder (``file://``) on a laptop, a bucket (``s3://``) in production.

Keys are made by us from ids, never from text that a user or creditor wrote, and begin with the agency.
Streams are bounded in memory both ways.
"""

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from domain.errors import Conflict, DomainError, Invalid, NotFound, Unavailable

READ_BLOCK: Final = 4 << 20
# S3 takes at most 10,000 parts of at least 5 MiB; 8 MiB allows 80 GiB. Four on their way is 32 MiB.
_PART: Final = 8 << 20
_PARTS_AT_ONCE: Final = 4
_COMPONENT: Final = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,128}")


class StoredObjectMissing(NotFound):
    """Nothing is stored under the key."""

    type = "stored-object-missing"
    title = "Stored file not found"


class StoredObjectChanged(Conflict):
    """The object was replaced while it was read, or is shorter than the offset asked for."""

    type = "stored-object-changed"
    title = "Stored file changed"


class StoredObjectTooLarge(Invalid):
    """The stream went on past the limit; nothing was stored."""

    type = "file-too-large"
    title = "File too large"


class StorageRefused(DomainError):
    """The store refuses our credentials or configuration: an operator must act, trying again is of no use."""

    type = "storage-refused"
    title = "Object storage refused"
    status = 500


class StorageUnavailable(Unavailable):
    """The store does not answer or failed; nothing was lost, trying again helps."""

    type = "storage-unavailable"
    title = "Object storage unavailable"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What was stored: ``size`` in bytes and ``sha256`` in hex, both counted while streaming."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What the store knows of an object: ``size`` in bytes and the entity tag of its content."""

    key: str
    size: int
    etag: str | None


@dataclass(frozen=True, slots=True)
class Download:
    """How a browser is given an object: ``file_name`` is ours, of ``A-Z a-z 0-9 . _ -``."""

    file_name: str
    media_type: str


def object_key(agency_id: UUID, *parts: str) -> str:
    """The key ``agencies/{agency}/{part}/…``; parts are ids or fixed words of ``A-Z a-z 0-9 . _ -``.

    Raises ``ValueError`` for a part of anything else: user text has no place in a key.
    """
    if not parts or not all(_COMPONENT.fullmatch(part) for part in parts):
        raise ValueError("a storage key is made of ids and fixed words only")
    return "/".join(("agencies", str(agency_id), *parts))


class ObjectStorage:
    """Objects under one URL. Stores appear whole or not at all, and replace what was there."""

    def __init__(self, url: str) -> None:
        """Open the store; ``file://`` folders are made. Raises ``StorageRefused`` for an unusable URL."""
        try:
            self._store = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
        except (BaseError, ValueError, OSError) as error:
            message = "the storage URL is not usable: write file:///absolute/folder or s3://bucket/prefix"
            raise StorageRefused(message) from error

    async def put_stream(
        self,
        key: str,
        data: AsyncIterable[bytes],
        *,
        max_bytes: int,
        download: Download | None = None,
    ) -> StoredObject:
        """Store a stream of at most ``max_bytes`` under ``key``, holding a few parts of it in memory.

        ``download``: how a signed link gives it to a browser, where the store signs links.

        Raises ``StoredObjectTooLarge`` past the limit, whatever ``data`` raises (unchanged), or
        ``StorageUnavailable``; in each case nothing new is to be seen under ``key``.
        """
        count = _Counted(data, max_bytes)
        try:
            with _translated(key):
                await obstore.put_async(
                    self._store,
                    key,
                    count.pieces(),
                    chunk_size=_PART,
                    max_concurrency=_PARTS_AT_ONCE,
                    attributes=self._attributes(download),
                )
        except Exception:
            if count.failure is not None:
                raise count.failure from None
            raise
        return StoredObject(key, count.size, count.digest.hexdigest())

    async def read(self, key: str, offset: int = 0, block: int = READ_BLOCK) -> AsyncGenerator[bytes, None]:
        """The bytes from ``offset`` to the end in blocks of ``block`` bytes, each its own request.

        So a slow consumer holds no connection open. Raises ``StoredObjectMissing``,
        ``StoredObjectChanged`` or ``StorageUnavailable``.
        """
        if offset < 0 or block <= 0:
            raise ValueError("offset must be zero or more and block more than zero")
        facts = await self.stat(key)
        if offset > facts.size:
            raise StoredObjectChanged(f"{key}: {facts.size} bytes long, but {offset} were read before")
        for start in range(offset, facts.size, block):
            end = min(start + block, facts.size)
            with _translated(key):
                answer = await obstore.get_async(
                    self._store, key, options={"range": (start, end), "if_match": facts.etag}
                )
                data = bytes(await answer.bytes_async())
            if len(data) != end - start:
                raise StoredObjectChanged(f"{key}: cut short while it was read")
            yield data

    async def stat(self, key: str) -> ObjectFacts:
        """Size and entity tag. Raises ``StoredObjectMissing`` or ``StorageUnavailable``."""
        with _translated(key):
            meta = await obstore.head_async(self._store, key)
        return ObjectFacts(key, meta["size"], meta["e_tag"])

    async def exists(self, key: str) -> bool:
        """Whether something is stored under ``key``."""
        try:
            await self.stat(key)
        except StoredObjectMissing:
            return False
        return True

    async def signed_url(self, key: str, lifetime: timedelta) -> str | None:
        """A link by which anybody can get the object for ``lifetime``; None of a store that signs none.

        Raises ``StorageRefused`` where our credentials cannot sign.
        """
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        with _translated(key):
            return await obstore.sign_async(self._store, "GET", key, expires_in=lifetime)

    def _attributes(self, download: Download | None) -> dict[str, str] | None:
        if download is None or not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        return {
            "Content-Type": download.media_type,
            "Content-Disposition": f'attachment; filename="{download.file_name}"',
            "Cache-Control": "private, no-store",
        }

    async def delete(self, key: str) -> None:
        """Remove the object; no error when it is gone already."""
        with contextlib.suppress(StoredObjectMissing), _translated(key):
            await obstore.delete_async(self._store, key)


class _Counted:
    """Counts, hashes and bounds a stream on its way into the store, and remembers why it broke off."""

    def __init__(self, data: AsyncIterable[bytes], max_bytes: int) -> None:
        self._data = data
        self._max_bytes = max_bytes
        self.size = 0
        self.digest = hashlib.sha256()
        self.failure: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The stream itself. The store wraps an error raised here, so the original is kept aside."""
        try:
            async for piece in self._data:
                self._count(piece)
                yield piece
        except Exception as error:
            self.failure = error
            raise

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._max_bytes:
            message = f"the file is larger than the {self._max_bytes} bytes allowed; split it"
            raise StoredObjectTooLarge(message, field="file", max_bytes=self._max_bytes)
        self.digest.update(piece)


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn the store's failures into domain errors that name the key."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoredObjectMissing(f"{key}: nothing is stored there") from error
    except PreconditionError as error:
        raise StoredObjectChanged(f"{key}: replaced while it was read") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageRefused(f"{key}: the object store refused us; check its URL and credentials") from error
    except (BaseError, OSError) as error:
        raise StorageUnavailable(f"{key}: the object store failed ({type(error).__name__})") from error
