"""The SFTP server of the sandbox: what a creditor's or partner's server looks like from here.

Each user has a root of its own that neither ``..`` nor a symbolic link leaves. In development it is a
process of its own (``python -m sandbox.sftp``), in tests an object that can be stopped, started and
given another host key.
"""

import argparse
import asyncio
import hmac
import os
import posixpath
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncssh
from asyncssh.sftp import SFTPServer

from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, Port, busy, is_free
from sandbox.sftp_users import SftpUser, public_host_key, public_part, read_users

FOLDERS = ("inbox", "inbox/processed", "inbox/rejected", "partners")
# Fast where the processor has AES instructions; a client that lists it first gets it.
FAST_CIPHER = "aes128-gcm@openssh.com"
_CIPHERS = (
    FAST_CIPHER,
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
_UPLOAD_WINDOW_BYTES = 4 << 20


class SftpServer:
    """An SFTP server on the loopback address with one root per user below ``root``.

    Args:
        root: folder with the users' roots, each ``root/name`` and made on start.
        users: who may log in.
        host_key: file of the private host key; made on the first start, readable for its owner only.
        port: TCP port.
    """

    def __init__(self, root: Path, users: Sequence[SftpUser], *, host_key: Path, port: int) -> None:
        self.root = root.absolute()
        self.port = port
        self.users = {user.name: user for user in users}
        self._host_key_file = host_key.absolute()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    @property
    def host_key(self) -> str:
        """The public host key, ``type base64``."""
        return public_host_key(self._host_key_file)

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file for this server."""
        return f"[{LOOPBACK}]:{self.port} {self.host_key}"

    def root_of(self, user: str) -> Path:
        """The folder that a user sees as ``/``."""
        return self.root / user

    async def start(self) -> None:
        """Make folders and host key where missing and listen. Raises ``SandboxError`` on a busy port."""
        for user in self.users.values():
            for folder in (*FOLDERS, *(f"partners/{name}" for name in user.partners)):
                (self.root_of(user.name) / folder).mkdir(parents=True, exist_ok=True)
        if not is_free(self.port):
            raise SandboxError(busy(Port(self.port, "SFTP", "RECOUP_SFTP_PORT")))
        key = _host_key(self._host_key_file)
        public = " ".join(key.export_public_key().decode().split()[:2])
        public_part(self._host_key_file).write_text(f"{public}\n")
        self._acceptor = await asyncssh.create_server(
            lambda: _Login(self.users, self._connections),
            LOOPBACK,
            self.port,
            server_host_keys=[key],
            sftp_factory=self._session,
            allow_scp=False,
            encryption_algs=_CIPHERS,
            compression_algs=["none"],
            agent_forwarding=False,
            reuse_address=True,
            window=_UPLOAD_WINDOW_BYTES,
        )

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        for connection in list(self._connections):
            connection.abort()
        await self._acceptor.wait_closed()
        self._acceptor = None

    async def restart(self) -> None:
        """Stop, then listen on the same port again."""
        await self.stop()
        await self.start()

    async def replace_host_key(self) -> None:
        """Come back with another host key, as an impostor would."""
        await self.stop()
        self._host_key_file.unlink()
        await self.start()

    def _session(self, channel: asyncssh.SSHServerChannel[bytes]) -> SFTPServer:
        return _Jail(channel, self.root_of(str(channel.get_extra_info("username"))))


class _Login(asyncssh.SSHServer):
    def __init__(self, users: dict[str, SftpUser], connections: set[asyncssh.SSHServerConnection]) -> None:
        self._users = users
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection:
            self._connections.discard(self._connection)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        user = self._users.get(username)
        return (
            hmac.compare_digest((user.password if user else "").encode(), password.encode())
            and user is not None
        )

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        user = self._users.get(username)
        keys = user.public_keys if user else ()
        return any(asyncssh.import_public_key(line).public_data == key.public_data for line in keys)


class _Jail(SFTPServer):
    """A session that sees one folder as ``/``.

    The library's own root follows symbolic links out of it, so every path is resolved before it is
    used. Sessions cannot make links, so nobody can put one in place between the look and the use.
    """

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], root: Path) -> None:
        self._root = os.fsencode(root.resolve())
        super().__init__(channel, chroot=self._root)

    def map_path(self, path: bytes) -> bytes:
        mapped = super().map_path(path)
        real = os.path.realpath(mapped)
        if real != self._root and not real.startswith(self._root + b"/"):
            raise asyncssh.SFTPPermissionDenied("the path leads out of this account's folder")
        return mapped

    def lstat(self, path: bytes) -> os.stat_result:
        # The link itself may be looked at, wherever it leads: a poller has to see what it refuses.
        folder, name = posixpath.split(posixpath.normpath(posixpath.join(b"/", path)))
        return os.lstat(posixpath.join(self.map_path(folder), name))

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        return os.pread(file_obj.fileno(), size, offset)  # type: ignore[attr-defined]

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links cannot be made here")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links cannot be made here")


def _host_key(file: Path) -> asyncssh.SSHKey:
    if file.exists():
        return asyncssh.read_private_key(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    private = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(private, "wb") as opened:
        opened.write(key.export_private_key())
    return key


async def _serve(server: SftpServer) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    await stopping.wait()
    await server.stop()


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM. Exit code 1 when that is not possible."""
    parser = argparse.ArgumentParser(prog="sandbox.sftp", description="An SFTP server for development.")
    parser.add_argument("--root", type=Path, required=True, help="folder with the users' roots")
    parser.add_argument("--users", type=Path, required=True, help="file made by write_users")
    parser.add_argument("--host-key", type=Path, required=True, help="file of the private host key")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    server = SftpServer(options.root, read_users(options.users), host_key=options.host_key, port=options.port)
    try:
        asyncio.run(_serve(server))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
