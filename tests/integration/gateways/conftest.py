"""An SFTP server in this process that can be told to misbehave, and an agreed key to know it by."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import pytest_asyncio

from gateways.sftp import SftpEndpoint, SftpGateway


@dataclass
class Unruly:
    """A server's files and how it misbehaves; each hook may be async and may raise."""

    root: Path
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    client_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    port: int = 0
    longest_read: int | None = None
    before_read: Callable[[int], Awaitable[None] | None] = lambda _offset: None
    before_lstat: Callable[[bytes], None] = lambda _path: None
    before_open: Callable[[], None] = lambda: None
    after_open: Callable[[], None] = lambda: None
    before_rename: Callable[[], None] = lambda: None
    posix_rename: bool = True
    keeps_writes: bool = True
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    @property
    def endpoint(self) -> SftpEndpoint:
        host_key = self.host_key.export_public_key().decode()
        return SftpEndpoint("127.0.0.1", self.port, "demo", host_key, password="secret")

    def hang_up(self) -> None:
        """Cut every connection, as a crash of the server does."""
        for connection in self.connections:
            connection.abort()


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], server: Unruly) -> None:
        self._server = server
        server.connections.append(channel.get_connection())
        super().__init__(channel, chroot=os.fsencode(server.root))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self._server.before_open()
        opened = super().open(path, pflags, attrs)
        self._server.after_open()
        return opened

    def lstat(self, path: bytes) -> Any:
        self._server.before_lstat(path)
        return super().lstat(path)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        waited = self._server.before_read(offset)
        if waited is not None:
            await waited
        limit = self._server.longest_read
        data: Any = super().read(file_obj, offset, size if limit is None else min(size, limit))
        return bytes(data)

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        return super().write(file_obj, offset, data) if self._server.keeps_writes else len(data)

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._server.before_rename()
        return super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._server.before_rename()
        if not self._server.posix_rename:
            raise asyncssh.SFTPOpUnsupported("not here")
        return super().posix_rename(oldpath, newpath)


class _Login(asyncssh.SSHServer):
    def __init__(self, client_key: asyncssh.SSHKey) -> None:
        self._client_key = client_key.convert_to_public()

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("demo", "secret")

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "demo" and key == self._client_key


@pytest_asyncio.fixture
async def unruly(tmp_path: Path) -> AsyncIterator[Unruly]:
    """A server on a free port with ``/inbox``; login ``demo`` with ``secret`` or ``client_key``."""
    server = Unruly(tmp_path / "root")
    (server.root / "inbox").mkdir(parents=True)
    async with asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Login(server.client_key),
        server_host_keys=[server.host_key],
        sftp_factory=lambda channel: _Files(channel, server),
    ) as acceptor:
        server.port = acceptor.get_port()
        yield server
        server.hang_up()


@pytest.fixture
def gateway() -> SftpGateway:
    return SftpGateway(connect_timeout_s=60, request_timeout_s=60)


class Relay:
    """A wire between client and server that can be frozen: nothing is closed, nothing gets through."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        async with contextlib.AsyncExitStack() as stack:
            server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
            stack.callback(server.close)
            stack.callback(self._flowing.set)
            self.port = server.sockets[0].getsockname()[1]
            yield self

    def freeze(self) -> None:
        self._flowing.clear()

    def in_front_of(self, endpoint: SftpEndpoint) -> SftpEndpoint:
        return replace(endpoint, port=self.port)

    async def _carry(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._copy(near_in, far_out), self._copy(far_in, near_out))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.close()


@pytest_asyncio.fixture
async def relay(unruly: Unruly) -> AsyncIterator[Relay]:
    async with Relay(unruly.port).running() as relay:
        yield relay
