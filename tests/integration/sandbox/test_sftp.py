"""The SFTP server of the sandbox: logins, a root per user that nothing leaves, and faults on demand."""

import asyncio
import hashlib
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from sandbox import sftp
from sandbox.errors import SandboxError
from sandbox.ports import free_port
from sandbox.processes import Child, Command
from sandbox.sftp import FAST_CIPHER, FOLDERS, SftpServer
from sandbox.sftp_users import SftpUser, public_host_key, write_users

if TYPE_CHECKING:
    from conftest import SftpFixture


@asynccontextmanager
async def connected(
    known_hosts: str, port: int, user: str = "demo", **login: Any
) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]]:
    login = login or {"password": "demo"}
    async with (
        asyncssh.connect(
            "127.0.0.1",
            port,
            username=user,
            known_hosts=asyncssh.import_known_hosts(known_hosts),
            encryption_algs=[FAST_CIPHER, "aes256-ctr"],
            client_keys=login.pop("client_keys", None),
            config=None,
            **login,
        ) as connection,
        connection.start_sftp_client() as client,
    ):
        yield connection, client


@asynccontextmanager
async def session(server: "SftpFixture", **login: Any) -> AsyncIterator[asyncssh.SFTPClient]:
    async with connected(server.known_hosts, server.port, **login) as (_, client):
        yield client


async def test_login_with_password_sees_the_folders(sftp_server: "SftpFixture") -> None:
    async with session(sftp_server) as client:
        for folder in (*FOLDERS, "partners/northgate"):
            assert await client.isdir(f"/{folder}")


async def test_login_with_key(sftp_server: "SftpFixture") -> None:
    key = asyncssh.import_private_key(sftp_server.private_key)
    async with session(sftp_server, client_keys=[key], password=None) as client:
        assert await client.isdir("/inbox")


@pytest.mark.parametrize(
    ("user", "login"),
    [
        ("demo", {"password": "wrong"}),
        ("demo", {"password": ""}),
        ("nobody", {"password": ""}),
        ("nobody", {"password": "demo"}),
        ("demo", {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")], "password": None}),
    ],
)
async def test_others_may_not_log_in(sftp_server: "SftpFixture", user: str, login: dict[str, Any]) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with session(sftp_server, user=user, **login):
            pytest.fail("logged in")


async def test_shell_commands_are_refused(sftp_server: "SftpFixture") -> None:
    async with connected(sftp_server.known_hosts, sftp_server.port) as (connection, _):
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("id")


async def test_links_that_lead_out_are_refused_whatever_is_asked(
    sftp_server: "SftpFixture", tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("not yours")
    (sftp_server.inbox / "link.csv").symlink_to(secret / "file")
    (sftp_server.inbox / "folder").symlink_to(secret)
    # Its path begins like the root's own.
    neighbour = sftp_server.root.with_name(sftp_server.root.name + "-neighbour")
    neighbour.write_text("not yours either")
    (sftp_server.inbox / "near").symlink_to(neighbour)

    async with session(sftp_server) as client:
        asked = (
            lambda: client.open("/inbox/link.csv", "rb"),
            lambda: client.open("/inbox/folder/file", "rb"),
            lambda: client.open("/inbox/folder/new", "wb"),
            lambda: client.open("/inbox/near", "rb"),
            lambda: client.stat("/inbox/link.csv"),
            lambda: client.lstat("/inbox/folder/file"),
            lambda: client.listdir("/inbox/folder"),
            lambda: client.realpath("/inbox/link.csv"),
            lambda: client.rename("/inbox/folder/file", "/inbox/taken"),
            lambda: client.mkdir("/inbox/folder/made"),
        )
        for ask in asked:
            with pytest.raises(asyncssh.SFTPError):
                await ask()

    assert sorted(path.name for path in secret.iterdir()) == ["file"]


async def test_a_link_that_leads_out_can_be_seen_for_what_it_is(sftp_server: "SftpFixture") -> None:
    (sftp_server.inbox / "link.csv").symlink_to("/etc/passwd")

    async with session(sftp_server) as client:
        attributes = await client.lstat("/inbox/link.csv")
        listed = {str(entry.filename): entry.attrs.type async for entry in client.scandir("/inbox")}

    assert attributes.type == asyncssh.FILEXFER_TYPE_SYMLINK
    assert listed["link.csv"] == asyncssh.FILEXFER_TYPE_SYMLINK


async def test_links_within_the_root_work(sftp_server: "SftpFixture") -> None:
    (sftp_server.inbox / "file.csv").write_text("mine")
    (sftp_server.inbox / "link.csv").symlink_to(sftp_server.inbox / "file.csv")

    async with session(sftp_server) as client, client.open("/inbox/link.csv", "rb") as file:
        assert await file.read() == b"mine"


async def test_dots_stay_within_the_root(sftp_server: "SftpFixture") -> None:
    async with session(sftp_server) as client:
        assert sorted(await client.listdir("/../../../..")) == [".", "..", "inbox", "partners"]
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await client.stat("/../../etc/passwd")


async def test_sessions_cannot_make_links(sftp_server: "SftpFixture") -> None:
    (sftp_server.inbox / "file.csv").write_text("mine")
    async with session(sftp_server) as client:
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await client.symlink("/etc/passwd", "/inbox/link.csv")
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await client.link("/inbox/file.csv", "/inbox/link.csv")

    assert [path.name for path in sftp_server.inbox.glob("link*")] == []


async def test_big_files_arrive_whole_in_both_directions(sftp_server: "SftpFixture") -> None:
    content = os.urandom(1 << 20) * 20 + b"the end"

    async with connected(sftp_server.known_hosts, sftp_server.port) as (connection, client):
        assert connection.get_extra_info("recv_cipher") == FAST_CIPHER
        async with client.open("/inbox/big", "wb") as file:
            await file.write(content)
        digest, size = hashlib.sha256(), 0
        async with client.open("/inbox/big", "rb") as file:
            while block := await file.read(4 << 20):
                assert isinstance(block, bytes)
                digest.update(block)
                size += len(block)

    assert size == len(content)
    assert digest.digest() == hashlib.sha256(content).digest()
    assert (sftp_server.inbox / "big").read_bytes() == content


async def test_users_do_not_see_each_other(tmp_path: Path) -> None:
    users = [SftpUser("demo", "demo"), SftpUser("rival", "demo")]
    server = SftpServer(tmp_path / "roots", users, host_key=tmp_path / "key", port=free_port())
    await server.start()
    (server.root_of("demo") / "inbox" / "secret.csv").write_text("")

    async with connected(server.known_hosts, server.port, user="rival") as (_, client):
        assert "secret.csv" not in await client.listdir("/inbox")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await client.stat("/../demo/inbox/secret.csv")
    await server.stop()


async def test_host_key_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "host"
    first = SftpServer(tmp_path / "a", [], host_key=key, port=free_port())
    await first.start()
    await first.stop()
    made = first.host_key
    second = SftpServer(tmp_path / "b", [], host_key=key, port=free_port())
    await second.start()
    await second.stop()

    assert second.host_key == made == public_host_key(key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_another_host_key_is_noticed(sftp_server: "SftpFixture") -> None:
    await sftp_server.server.replace_host_key()

    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        async with session(sftp_server):
            pytest.fail("connected to an impostor")


async def test_stop_cuts_sessions_and_start_takes_the_same_port(sftp_server: "SftpFixture") -> None:
    async with session(sftp_server) as client:
        await sftp_server.server.stop()
        with pytest.raises((asyncssh.Error, ConnectionError)):
            await client.listdir("/")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", sftp_server.port)

    await sftp_server.server.start()

    async with session(sftp_server) as client:
        assert await client.isdir("/inbox")


async def test_a_busy_port_is_named(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "roots", [], host_key=tmp_path / "key", port=free_port())
    with (
        closing(socket.create_server(("127.0.0.1", server.port))),
        pytest.raises(SandboxError, match=rf"port {server.port} of SFTP is taken by .*RECOUP_SFTP_PORT"),
    ):
        await server.start()


async def test_process_of_its_own_serves_the_written_users(tmp_path: Path) -> None:
    users, key, port = tmp_path / "users.json", tmp_path / "key", free_port()
    write_users(users, [SftpUser("demo", "demo")])
    words = [sys.executable, "-m", sftp.__name__, "--root", str(tmp_path / "roots"), "--users", str(users)]
    process = Child("SFTP", Command([*words, "--host-key", str(key), "--port", str(port)]), tmp_path / "log")
    await process.start()

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await process.until(listens, within_s=30)
    async with connected(f"[127.0.0.1]:{port} {public_host_key(key)}", port) as (_, client):
        assert await client.isdir("/inbox/processed")
    await process.stop()

    assert await process.wait() == 0
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
