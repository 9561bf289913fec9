"""A creditor's SFTP server: list, read, move and (for trying the door) upload.

The host key is verified always, and nothing of the machine's own SSH set-up (agent, keys, known
hosts, configuration) takes part, so that an endpoint means the same on every worker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import asyncssh
from asyncssh.public_key import get_default_public_key_algs

from gateways.remote_names import RemoteNameRefused
from gateways.sftp_endpoint import SftpEndpoint, parse_host_keys, parse_private_key
from gateways.sftp_errors import (
    HostKeyMismatch,
    RemoteFileChanged,
    RemoteFileExists,
    RemoteFileMissing,
    RemoteFileRefused,
    SftpAuthenticationFailed,
    SftpEndpointInvalid,
    SftpIncompatible,
    SftpPermissionDenied,
    SftpUnavailable,
    translated,
)
from gateways.sftp_session import Listing, RefusedEntry, RemoteFile, SftpSession

if TYPE_CHECKING:
    from asyncssh.known_hosts import KnownHostsArg

__all__ = [
    "HostKeyMismatch",
    "Listing",
    "RefusedEntry",
    "RemoteFile",
    "RemoteFileChanged",
    "RemoteFileExists",
    "RemoteFileMissing",
    "RemoteFileRefused",
    "RemoteNameRefused",
    "SftpAuthenticationFailed",
    "SftpEndpoint",
    "SftpEndpointInvalid",
    "SftpGateway",
    "SftpIncompatible",
    "SftpPermissionDenied",
    "SftpSession",
    "SftpUnavailable",
]

# AES-GCM with 128 bits is the fastest of the strong ciphers with AES instructions; no CBC.
CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_AUTHENTICATION: Final = ("publickey", "password", "keyboard-interactive")


class SftpGateway:
    """Opens sessions on SFTP servers; holds timeouts (seconds) and no connection of its own.

    A dead server is noticed after about ``keepalive_s * (keepalive_misses + 1)`` seconds of silence, and
    one that is alive but does not answer a request after ``request_timeout_s``.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 20,
        request_timeout_s: float = 120,
        keepalive_s: float = 15,
        keepalive_misses: int = 3,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._keepalive_s = keepalive_s
        self._keepalive_misses = keepalive_misses

    @contextlib.asynccontextmanager
    async def connect(self, endpoint: SftpEndpoint) -> AsyncIterator[SftpSession]:
        """Log in to ``endpoint`` and yield a session, closed on exit.

        Raises ``SftpEndpointInvalid``, ``HostKeyMismatch``, ``SftpAuthenticationFailed`` and
        ``SftpIncompatible`` (trying again is of no use) or ``SftpUnavailable`` (it is).
        """
        connection = await self._log_in(endpoint)
        try:
            with translated(endpoint.place):
                async with asyncio.timeout(self._connect_timeout_s):
                    client = await connection.start_sftp_client(path_errors="surrogateescape")
            yield SftpSession(client, place=endpoint.place, timeout_s=self._request_timeout_s)
        finally:
            # Drops what is unsent, so that this never waits for a server that is gone.
            connection.close()
            await connection.wait_closed()

    async def _log_in(self, endpoint: SftpEndpoint) -> asyncssh.SSHClientConnection:
        expected = parse_host_keys(endpoint.host_key)
        client_keys = None
        if endpoint.private_key:
            # The key derivation of an encrypted key is slow on purpose.
            key = await asyncio.to_thread(parse_private_key, endpoint.private_key, endpoint.passphrase)
            client_keys = [key]
        trusted: KnownHostsArg = (expected, [], [], [], [], [], [])
        witness = _HostKeyWitness()
        try:
            with translated(endpoint.place):
                return await asyncssh.connect(
                    endpoint.host,
                    endpoint.port,
                    username=endpoint.username,
                    password=endpoint.password,
                    client_keys=client_keys,
                    known_hosts=trusted,
                    server_host_key_algs=_host_key_algorithms(expected),
                    client_factory=lambda: witness,
                    config=None,
                    agent_path=None,
                    x509_trusted_certs=None,
                    gss_kex=False,
                    gss_auth=False,
                    preferred_auth=_AUTHENTICATION,
                    encryption_algs=CIPHERS,
                    compression_algs=None,
                    connect_timeout=self._connect_timeout_s,
                    login_timeout=self._connect_timeout_s,
                    keepalive_interval=self._keepalive_s,
                    keepalive_count_max=self._keepalive_misses,
                    utf8_decode_errors="replace",
                )
        except HostKeyMismatch as mismatch:
            on_record = [key.get_fingerprint() for key in expected]
            mismatch.details.update(offered=witness.offered, on_record=on_record)
            raise
        except UnicodeError:
            message = f"the SFTP host {endpoint.host} is no valid host name"
            raise SftpEndpointInvalid(message, field="host") from None


class _HostKeyWitness(asyncssh.SSHClient):
    """Remembers the fingerprint of a host key that is not the one on record, and trusts none."""

    offered: str | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered = key.get_fingerprint()
        return False


def _host_key_algorithms(expected: list[asyncssh.SSHKey]) -> list[str]:
    """Those of the keys on record first, so that a server with several shows one of them; then the rest.

    With the rest left out, a server that has changed the kind of its key would merely hang up, which
    looks like a fault of the network; so it shows the key, and is refused for it.
    """
    recorded = [algorithm for key in expected for algorithm in key.sig_algorithms]
    usual = get_default_public_key_algs()
    return [name.decode() for name in dict.fromkeys([*recorded, *usual]) if name in usual]
