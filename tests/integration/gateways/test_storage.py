import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from gateways.storage import (
    ObjectStorage,
    StorageRefused,
    StorageUnavailable,
    StoredObject,
    StoredObjectChanged,
    StoredObjectMissing,
    StoredObjectTooLarge,
    object_key,
)

MIB = 1 << 20
AGENCY = UUID(int=7)
KEY = object_key(AGENCY, "uploads", "0001.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "storage"


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, folder: Path) -> ObjectStorage:
    return ObjectStorage(folder.as_uri() if request.param == "folder" else "memory:///")


def content(size: int) -> bytes:
    """The same ``size`` bytes each time, without a pattern that a misplaced block could hide in."""
    return hashlib.shake_128(str(size).encode()).digest(size)


async def stream(data: bytes, piece: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece):
        yield data[start : start + piece]


def files(folder: Path) -> dict[str, int]:
    """Every file of the folder with its size, hidden or not."""
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


async def stored(storage: ObjectStorage, offset: int = 0, block: int = MIB) -> bytes:
    return b"".join([data async for data in storage.read(KEY, offset, block)])


@pytest.mark.parametrize("size", [0, 1, 20 * MIB + 3])
async def test_a_stream_comes_back_as_it_went_in(storage: ObjectStorage, size: int) -> None:
    data = content(size)
    put = await storage.put_stream(KEY, stream(data), max_bytes=size)
    assert put == StoredObject(KEY, size, hashlib.sha256(data).hexdigest())
    assert (await storage.stat(KEY)).size == size
    assert await stored(storage) == data


async def test_reading_goes_on_from_an_offset(storage: ObjectStorage) -> None:
    data = content(3 * MIB)
    await storage.put_stream(KEY, stream(data), max_bytes=4 * MIB)
    blocks = [block async for block in storage.read(KEY, MIB + 5, MIB)]
    assert [len(block) for block in blocks] == [MIB, MIB - 5]
    assert b"".join(blocks) == data[MIB + 5 :]
    assert await stored(storage, offset=len(data)) == b""
    with pytest.raises(StoredObjectChanged, match="were read before"):
        await stored(storage, offset=len(data) + 1)


async def test_a_stream_past_its_limit_stores_nothing(storage: ObjectStorage) -> None:
    with pytest.raises(StoredObjectTooLarge, match=f"{20 * MIB - 1} bytes allowed") as caught:
        await storage.put_stream(KEY, stream(content(20 * MIB)), max_bytes=20 * MIB - 1)
    assert caught.value.field == "file"
    assert not await storage.exists(KEY)


async def test_a_stream_that_breaks_off_stores_nothing_and_says_why(
    storage: ObjectStorage, folder: Path
) -> None:
    await storage.put_stream(KEY, stream(b"before"), max_bytes=MIB)

    async def breaking() -> AsyncIterator[bytes]:
        async for data in stream(content(20 * MIB)):
            yield data
        raise FileNotFoundError("the reason")

    with pytest.raises(FileNotFoundError, match="the reason"):
        await storage.put_stream(KEY, breaking(), max_bytes=40 * MIB)
    assert await stored(storage) == b"before"
    assert files(folder) in ({}, {"0001.csv": 6})


async def test_a_cancelled_stream_stores_nothing(storage: ObjectStorage) -> None:
    half = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield content(9 * MIB)
        half.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(storage.put_stream(KEY, halting(), max_bytes=20 * MIB))
    async with asyncio.timeout(60):
        await half.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await storage.exists(KEY)


async def test_only_a_few_parts_are_taken_ahead_of_the_store(folder: Path) -> None:
    storage = ObjectStorage(folder.as_uri())
    ahead: list[int] = []

    async def watched() -> AsyncIterator[bytes]:
        for number in range(1, 129):
            yield content(MIB)
            ahead.append(number * MIB - sum(files(folder).values()))

    await storage.put_stream(KEY, watched(), max_bytes=1 << 30)
    assert files(folder) == {"0001.csv": 128 * MIB}
    assert max(ahead) <= 48 * MIB


async def test_an_object_replaced_while_it_is_read_is_noticed(storage: ObjectStorage) -> None:
    await storage.put_stream(KEY, stream(content(2 * MIB)), max_bytes=4 * MIB)
    blocks = storage.read(KEY, block=MIB)
    await anext(blocks)
    await storage.put_stream(KEY, stream(content(3 * MIB)), max_bytes=4 * MIB)
    with pytest.raises(StoredObjectChanged, match="replaced while it was read"):
        await anext(blocks)


async def test_what_is_not_there_is_missed_and_may_be_deleted_twice(storage: ObjectStorage) -> None:
    assert not await storage.exists(KEY)
    with pytest.raises(StoredObjectMissing, match=KEY):
        await stored(storage)
    await storage.put_stream(KEY, stream(b"x"), max_bytes=1)
    assert await storage.exists(KEY)
    for _ in range(2):
        await storage.delete(KEY)
    assert not await storage.exists(KEY)


@pytest.mark.parametrize("url", ["", "storage", "file://relative/folder", "gopher://x", "s3://"])
def test_an_unusable_url_is_explained(url: str) -> None:
    with pytest.raises(StorageRefused, match="file:///absolute/folder or s3://bucket/prefix") as caught:
        ObjectStorage(url)
    assert not caught.value.retryable


async def test_a_store_that_fails_is_worth_another_try(folder: Path) -> None:
    storage = ObjectStorage(folder.as_uri())
    (folder / "agencies").write_text("a file where a folder must be")
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put_stream(KEY, stream(b"x"), max_bytes=1)
    assert caught.value.retryable


def test_keys_begin_with_the_agency() -> None:
    assert KEY == "agencies/00000000-0000-0000-0000-000000000007/uploads/0001.csv"


@pytest.mark.parametrize("part", ["", "..", ".", "a/b", "a b", "é", "x" * 129, "a\n"])
def test_keys_are_never_user_text(part: str) -> None:
    with pytest.raises(ValueError, match="ids and fixed words"):
        object_key(AGENCY, "uploads", part)
    with pytest.raises(ValueError, match="ids and fixed words"):
        object_key(AGENCY)
