import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from gateways.sftp import (
    RefusedEntry,
    RemoteFileChanged,
    RemoteFileExists,
    RemoteFileMissing,
    RemoteFileRefused,
    RemoteNameRefused,
    SftpEndpoint,
    SftpGateway,
    SftpPermissionDenied,
    SftpUnavailable,
)

MIB = 1 << 20


@pytest_asyncio.fixture
async def session(unruly, gateway):
    async with gateway.connect(unruly.endpoint) as opened:
        yield opened


@pytest.fixture
def inbox(unruly) -> Path:
    return unruly.root / "inbox"


def content(size: int) -> bytes:
    """The same ``size`` bytes each time, without a pattern that a misplaced block could hide in."""
    return hashlib.shake_128(str(size).encode()).digest(size)


class TestListing:
    async def test_takes_matching_regular_files_by_name(self, session, inbox) -> None:
        for name in ("b.csv", "a.CSV.GZ", 'it\'s "odd" ü.csv', "notes.txt", ".hidden.csv", "c.csv.part"):
            (inbox / name).write_bytes(b"12345")
        (inbox / "folder.csv").mkdir()
        os.utime(inbox / "b.csv", (1_700_000_000, 1_700_000_001))
        listing = await session.list_files("/inbox")
        assert [file.name for file in listing.files] == ["a.CSV.GZ", "b.csv", 'it\'s "odd" ü.csv']
        assert listing.refused == ()
        file = listing.files[1]
        assert (file.path, file.size, file.mtime) == ("/inbox/b.csv", 5, 1_700_000_001)

    async def test_patterns_are_the_callers(self, session, inbox) -> None:
        for name in ("a.csv", "a.done"):
            (inbox / name).touch()
        assert [file.name for file in (await session.list_files("/inbox", ["*.done"])).files] == ["a.done"]

    async def test_more_files_than_one_answer_holds(self, session, inbox) -> None:
        names = [f"{number:04}.csv" for number in range(300)]
        for name in names:
            (inbox / name).touch()
        assert [file.name for file in (await session.list_files("/inbox")).files] == names

    async def test_links_devices_and_dangerous_names_are_reported_not_taken(
        self, session, inbox, tmp_path
    ) -> None:
        outside = tmp_path / "outside.csv"
        outside.write_text("not yours")
        (inbox / "link.csv").symlink_to(outside)
        os.mkfifo(inbox / "pipe.csv")
        (inbox / "two\nlines.csv").touch()
        (inbox / "x\\y.csv").touch()
        (inbox / os.fsdecode(b"caf\xe9.csv")).touch()
        listing = await session.list_files("/inbox")
        assert listing.files == ()
        assert listing.refused == (
            RefusedEntry(r"caf\udce9.csv", "it contains control characters or bytes that are not UTF-8"),
            RefusedEntry("link.csv", "it is a symbolic link, not a regular file"),
            RefusedEntry("pipe.csv", "it is a device or another special file, not a regular file"),
            RefusedEntry(r"two\nlines.csv", "it contains control characters or bytes that are not UTF-8"),
            RefusedEntry("x\\y.csv", "it contains a path separator"),
        )

    async def test_a_file_that_may_not_be_looked_at_does_not_hide_the_others(
        self, session, unruly, inbox
    ) -> None:
        for name in ("a.csv", "b.csv", "c.csv"):
            (inbox / name).touch()

        def refuse(path: bytes) -> None:
            if path.endswith(b"a.csv"):
                raise asyncssh.SFTPPermissionDenied("no")
            if path.endswith(b"b.csv"):
                raise asyncssh.SFTPNoSuchFile("taken away meanwhile")

        unruly.before_lstat = refuse
        listing = await session.list_files("/inbox")
        assert [file.name for file in listing.files] == ["c.csv"]
        assert [entry.name for entry in listing.refused] == ["a.csv"]

    async def test_a_missing_folder_is_named(self, session) -> None:
        with pytest.raises(RemoteFileMissing, match=r"demo@127.0.0.1:\d+, /nowhere"):
            await session.list_files("/nowhere")

    async def test_a_link_out_of_the_sandbox_is_refused_and_the_rest_listed(
        self, gateway, sftp_server
    ) -> None:
        (sftp_server.inbox / "good.csv").write_bytes(b"x")
        (sftp_server.inbox / "link.csv").symlink_to("/etc/passwd")
        endpoint = SftpEndpoint(
            sftp_server.host,
            sftp_server.port,
            sftp_server.user,
            sftp_server.known_hosts,
            private_key=sftp_server.private_key,
        )
        async with gateway.connect(endpoint) as session:
            listing = await session.list_files("/inbox")
        assert [file.name for file in listing.files] == ["good.csv"]
        assert [entry.name for entry in listing.refused] == ["link.csv"]


class TestReading:
    @pytest.mark.parametrize("size", [0, 1, MIB, 9 * MIB + 17])
    async def test_every_byte_once_and_in_order(self, session, inbox, size: int) -> None:
        (inbox / "a.csv").write_bytes(content(size))
        blocks = [block async for block in session.read("/inbox/a.csv", block=2 * MIB)]
        assert b"".join(blocks) == content(size)
        assert all(len(block) == 2 * MIB for block in blocks[:-1])

    async def test_goes_on_from_an_offset(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(3 * MIB))
        blocks = [block async for block in session.read("/inbox/a.csv", offset=2 * MIB + 5, block=MIB)]
        assert b"".join(blocks) == content(3 * MIB)[2 * MIB + 5 :]
        assert [block async for block in session.read("/inbox/a.csv", offset=3 * MIB)] == []

    async def test_short_answers_lose_nothing(self, session, unruly, inbox) -> None:
        unruly.longest_read = 1000
        (inbox / "a.csv").write_bytes(content(MIB + 1))
        assert b"".join([block async for block in session.read("/inbox/a.csv")]) == content(MIB + 1)

    async def test_a_file_cut_short_is_noticed(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(4 * MIB))

        def cut(offset: int) -> None:
            if offset >= MIB:
                os.truncate(inbox / "a.csv", MIB)

        unruly.before_read = cut
        with pytest.raises(RemoteFileChanged, match="cut short"):
            async for _ in session.read("/inbox/a.csv", block=MIB):
                pass

    async def test_a_hole_left_by_a_confused_server_is_noticed(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(MIB))

        def empty_in_the_middle(offset: int) -> None:
            unruly.longest_read = 0 if offset == 20_000 else 10_000

        unruly.before_read = empty_in_the_middle
        with pytest.raises(RemoteFileChanged, match="cut short"):
            async for _ in session.read("/inbox/a.csv"):
                pass

    async def test_a_file_that_grows_meanwhile_is_noticed(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(MIB))

        def grow(_offset: int) -> None:
            with (inbox / "a.csv").open("ab") as file:
                file.write(b"more")

        unruly.before_read = grow
        with pytest.raises(RemoteFileChanged, match="changed while it was read"):
            async for _ in session.read("/inbox/a.csv"):
                pass

    async def test_an_offset_beyond_the_end_means_another_file(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"short")
        with pytest.raises(RemoteFileChanged, match="5 bytes long, but 6 were read before"):
            await anext(session.read("/inbox/a.csv", offset=6))

    async def test_a_link_is_not_opened(self, session, unruly, inbox, tmp_path) -> None:
        (tmp_path / "outside").write_text("not yours")
        (inbox / "a.csv").symlink_to(tmp_path / "outside")
        opened = []
        unruly.before_open = lambda: opened.append(True)
        with pytest.raises(RemoteFileRefused, match="symbolic link"):
            await anext(session.read("/inbox/a.csv"))
        assert opened == []

    async def test_a_link_put_in_place_at_the_last_moment_is_not_read(
        self, session, unruly, inbox, tmp_path
    ) -> None:
        (tmp_path / "outside").write_text("not yours")
        (inbox / "a.csv").write_text("something")

        def swap() -> None:
            (inbox / "a.csv").unlink()
            (inbox / "a.csv").symlink_to(tmp_path / "outside")

        unruly.before_open = swap
        with pytest.raises(RemoteFileRefused, match="symbolic link"):
            await anext(session.read("/inbox/a.csv"))

    async def test_a_link_swapped_in_and_out_again_is_not_read(
        self, session, unruly, inbox, tmp_path
    ) -> None:
        (tmp_path / "outside").write_text("not yours at all")
        (inbox / "a.csv").write_text("something")

        def swap() -> None:
            (inbox / "a.csv").rename(tmp_path / "kept")
            (inbox / "a.csv").symlink_to(tmp_path / "outside")

        unruly.before_open = swap
        unruly.after_open = lambda: (tmp_path / "kept").rename(inbox / "a.csv")
        with pytest.raises(RemoteFileChanged):
            await anext(session.read("/inbox/a.csv"))

    @pytest.mark.parametrize("path", ["/inbox/../../outside", "/inbox/a\x00.csv", ""])
    async def test_unsafe_paths_are_refused_before_anything_is_asked(self, session, path: str) -> None:
        with pytest.raises(RemoteNameRefused):
            await anext(session.read(path))

    async def test_a_server_gone_in_the_middle_is_worth_another_try(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(4 * MIB))
        blocks = session.read("/inbox/a.csv", block=MIB)
        assert await anext(blocks) == content(4 * MIB)[:MIB]
        unruly.hang_up()
        with pytest.raises(SftpUnavailable) as caught:
            await anext(blocks)
        assert caught.value.retryable
        with pytest.raises(SftpUnavailable):
            await session.list_files("/inbox")

    async def test_a_server_that_stops_answering_is_given_up_on(self, unruly, inbox, monkeypatch) -> None:
        monkeypatch.setattr("gateways.sftp_session._CLOSE_S", 0.1)
        (inbox / "a.csv").write_bytes(b"x")
        answer = asyncio.Event()

        async def wait(_offset: int) -> None:
            await answer.wait()

        unruly.before_read = wait
        async with (
            asyncio.timeout(60),
            SftpGateway(request_timeout_s=0.2).connect(unruly.endpoint) as session,
        ):
            with pytest.raises(SftpUnavailable, match="did not answer in time"):
                await anext(session.read("/inbox/a.csv"))
            answer.set()

    async def test_a_consumer_may_stop_early(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(2 * MIB))
        async with contextlib.aclosing(session.read("/inbox/a.csv", block=MIB)) as blocks:
            await anext(blocks)
        assert [file.name for file in (await session.list_files("/inbox")).files] == ["a.csv"]

    async def test_the_fingerprint_is_that_of_the_bytes(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(content(9 * MIB))
        seen: list[tuple[int, int]] = []
        sha256, size = await session.fingerprint("/inbox/a.csv", lambda done, of: seen.append((done, of)))
        assert sha256 == hashlib.sha256(content(9 * MIB)).hexdigest()
        assert size == 9 * MIB
        assert seen == [(done, size) for done in range(MIB, size + 1, MIB)]

    async def test_no_permission_is_not_worth_another_try(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"x")

        def deny() -> None:
            raise asyncssh.SFTPPermissionDenied("no")

        unruly.before_open = deny
        with pytest.raises(SftpPermissionDenied) as caught:
            await anext(session.read("/inbox/a.csv"))
        assert not caught.value.retryable


class TestMoving:
    SRC, DST = "/inbox/a.csv", "/inbox/processed/0001-a.csv"

    async def test_makes_the_folder_and_may_be_repeated(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"12345")
        file = await session.stat(self.SRC)
        for _ in range(2):
            await session.move(self.SRC, self.DST, size=file.size, mtime=file.mtime)
        await session.move(self.SRC, self.DST)
        assert not (inbox / "a.csv").exists()
        assert (inbox / "processed/0001-a.csv").read_bytes() == b"12345"

    async def test_overwrites_nothing(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"12345")
        (inbox / "processed").mkdir()
        (inbox / "processed/0001-a.csv").write_bytes(b"other")
        with pytest.raises(RemoteFileExists):
            await session.move(self.SRC, self.DST)
        with pytest.raises(RemoteFileExists):
            await session.move(self.SRC, self.DST, size=4)
        assert (inbox / "a.csv").read_bytes() == b"12345"
        assert (inbox / "processed/0001-a.csv").read_bytes() == b"other"

    async def test_overwrites_nothing_that_appears_at_the_last_moment(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"12345")

        def appear() -> None:
            (inbox / "processed/0001-a.csv").write_bytes(b"other")

        unruly.before_rename = appear
        with pytest.raises(SftpUnavailable):
            await session.move(self.SRC, self.DST)
        assert (inbox / "processed/0001-a.csv").read_bytes() == b"other"
        assert (inbox / "a.csv").read_bytes() == b"12345"

    async def test_a_new_file_under_the_old_name_stays(self, session, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"12345")
        await session.move(self.SRC, self.DST, size=5)
        (inbox / "a.csv").write_bytes(b"new content")
        await session.move(self.SRC, self.DST, size=5)
        assert (inbox / "a.csv").read_bytes() == b"new content"

    @pytest.mark.parametrize("was", [{"size": 4}, {"size": 5, "mtime": 1}])
    async def test_a_file_replaced_since_it_was_read_stays(self, session, inbox, was: dict[str, int]) -> None:
        (inbox / "a.csv").write_bytes(b"12345")
        with pytest.raises(RemoteFileChanged, match="left there"):
            await session.move(self.SRC, self.DST, **was)
        assert (inbox / "a.csv").read_bytes() == b"12345"

    async def test_a_file_that_is_nowhere_is_missed(self, session, inbox) -> None:
        with pytest.raises(RemoteFileMissing, match="not moved"):
            await session.move(self.SRC, self.DST, size=5)

    async def test_a_link_is_not_moved(self, session, inbox) -> None:
        (inbox / "a.csv").symlink_to("/etc/hostname")
        with pytest.raises(RemoteFileRefused):
            await session.move(self.SRC, self.DST)


class TestUploading:
    async def test_bytes_and_files_arrive_whole(self, session, inbox, tmp_path) -> None:
        local = tmp_path / "local.csv"
        local.write_bytes(content(9 * MIB))
        seen: list[int] = []
        uploaded = await session.upload(local, "/inbox/a.csv", lambda done, _of: seen.append(done))
        assert (uploaded.name, uploaded.size) == ("a.csv", 9 * MIB)
        assert (inbox / "a.csv").read_bytes() == content(9 * MIB)
        assert seen == list(range(MIB, 9 * MIB + 1, MIB))
        await session.upload(b"again", "/inbox/a.csv")
        assert [path.name for path in inbox.iterdir()] == ["a.csv"]
        assert (inbox / "a.csv").read_bytes() == b"again"

    async def test_nobody_sees_half_a_file(self, session, unruly, inbox) -> None:
        seen: list[list[str]] = []

        def look() -> None:
            seen.append([path.name for path in inbox.iterdir() if not path.name.startswith(".")])

        unruly.after_open = look
        unruly.before_rename = look
        await session.upload(content(MIB), "/inbox/a.csv")
        assert seen == [[], []]
        assert (inbox / "a.csv").stat().st_size == MIB

    async def test_a_failure_leaves_nothing_behind(self, session, unruly, inbox) -> None:
        def deny() -> None:
            raise asyncssh.SFTPPermissionDenied("no")

        unruly.before_rename = deny
        with pytest.raises(SftpPermissionDenied):
            await session.upload(b"content", "/inbox/a.csv")
        assert list(inbox.iterdir()) == []

    async def test_a_server_that_loses_bytes_is_noticed(self, session, unruly, inbox) -> None:
        (inbox / "a.csv").write_bytes(b"before")
        unruly.keeps_writes = False
        with pytest.raises(RemoteFileChanged, match="7 bytes sent, 0 arrived"):
            await session.upload(b"content", "/inbox/a.csv")
        assert [path.read_bytes() for path in inbox.iterdir()] == [b"before"]

    async def test_a_server_without_posix_rename_takes_new_names(self, session, unruly, inbox) -> None:
        unruly.posix_rename = False
        await session.upload(b"first", "/inbox/a.csv")
        with pytest.raises(SftpUnavailable):
            await session.upload(b"second", "/inbox/a.csv")
        assert [path.read_bytes() for path in inbox.iterdir()] == [b"first"]

    async def test_a_missing_folder_is_named(self, session) -> None:
        with pytest.raises(RemoteFileMissing, match="/nowhere"):
            await session.upload(b"x", "/nowhere/a.csv")
