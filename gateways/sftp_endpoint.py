"""How a creditor's SFTP server is reached, and what proves that it is theirs."""

from dataclasses import dataclass, field
from typing import Final

import asyncssh

from gateways.sftp_errors import SftpEndpointInvalid

_HOST_MAX: Final = 253  # RFC 1035, section 2.3.4, without the final dot
_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class SftpEndpoint:
    """One login on one server. Its ``repr`` shows no secret.

    ``host_key`` holds one or more lines of OpenSSH public keys (``ssh-ed25519 AAAA… comment``); lines
    as printed by ``ssh-keyscan``, with the host in front, do as well. ``private_key`` is PEM or OpenSSH
    text, opened with ``passphrase``. With both a key and a password the server may ask for either.

    Raises ``SftpEndpointInvalid`` for a missing part, naming the field.
    """

    host: str
    port: int
    username: str
    host_key: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could never connect."""
        if not self.host or len(self.host) > _HOST_MAX or not self.host.isprintable() or " " in self.host:
            raise SftpEndpointInvalid("the SFTP host must be a host name or an IP address", field="host")
        if not 1 <= self.port <= _PORT_MAX:
            raise SftpEndpointInvalid(f"the SFTP port must be from 1 to {_PORT_MAX}", field="port")
        if not self.username:
            raise SftpEndpointInvalid("the SFTP username is missing", field="username")
        if not self.password and not self.private_key:
            raise SftpEndpointInvalid("give the SFTP login a password or a private key", field="password")

    @property
    def place(self) -> str:
        """``user@host:port``, for messages."""
        return f"{self.username}@{self.host}:{self.port}"


def parse_host_keys(text: str) -> list[asyncssh.SSHKey]:
    """The public keys in ``text``, one a line; ``#`` comments and blank lines are skipped.

    Raises ``SftpEndpointInvalid`` (field ``host_key``) naming the line that is no key, or when there is none.
    """
    keys = [
        _host_key(line.strip(), number)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise SftpEndpointInvalid(
            "the SFTP server's host key is missing; ask its owner for it, or compare what "
            "`ssh-keyscan` prints with what they published",
            field="host_key",
        )
    return keys


def _host_key(line: str, number: int) -> asyncssh.SSHKey:
    _host, _, without_host = line.partition(" ")
    for candidate in (line, without_host.lstrip()):
        try:
            return asyncssh.import_public_key(candidate)
        except asyncssh.KeyImportError:
            continue
    raise SftpEndpointInvalid(
        f"line {number} of the SFTP host key is no OpenSSH public key (such as “ssh-ed25519 AAAA…”)",
        field="host_key",
    )


def parse_private_key(text: str, passphrase: str | None = None) -> asyncssh.SSHKey:
    """The private key in ``text`` (PEM or OpenSSH), opened with ``passphrase`` when it is encrypted.

    Takes up to a second of processor time for an encrypted key. Raises ``SftpEndpointInvalid``
    (field ``private_key`` or ``passphrase``); the message holds nothing of the key.
    """
    try:
        return asyncssh.import_private_key(text, passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        message, field = _why_not(error)
        raise SftpEndpointInvalid(message, field=field) from None


def _why_not(error: ValueError) -> tuple[str, str]:
    """Message and field for a private key that asyncssh could not import; its texts are fixed phrases."""
    said = str(error)
    if said.startswith("Passphrase must be specified"):
        return "the SFTP private key is encrypted: give its passphrase", "passphrase"
    if isinstance(error, asyncssh.KeyEncryptionError) or said.startswith("Unable to decrypt"):
        return "the SFTP private key cannot be opened with this passphrase", "passphrase"
    return "the SFTP private key is not a key in PEM or OpenSSH form", "private_key"
