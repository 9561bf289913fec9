"""The few ways in which a visit to an SFTP server can fail, and the one place that tells them apart.

Only ``SftpUnavailable`` is worth trying again. Everything else needs a person (a key, a password,
a permission) or is decided by the next poll (a file that changed or went away).
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import asyncssh
from asyncssh.packet import PacketDecodeError

from domain.errors import Conflict, DomainError, Invalid, NotFound, Unavailable
from gateways.remote_names import shown


class SftpEndpointInvalid(Invalid):
    """The endpoint cannot be used as written; ``field`` is the part to mend. Secrets are never quoted."""

    type = "sftp-endpoint-invalid"
    title = "SFTP source is incomplete"


class HostKeyMismatch(Conflict):
    """The server does not own the host key on record; ``offered`` is its SHA256 fingerprint where known."""

    type = "sftp-host-key-mismatch"
    title = "SFTP host key does not match"


class SftpAuthenticationFailed(Conflict):
    """The server refused the username with this password or key."""

    type = "sftp-authentication-failed"
    title = "SFTP login refused"


class SftpIncompatible(Conflict):
    """No cipher, key exchange or protocol version in common."""

    type = "sftp-incompatible"
    title = "SFTP server speaks another protocol"


class SftpPermissionDenied(Conflict):
    """The login may not do this there."""

    type = "sftp-permission-denied"
    title = "SFTP permission denied"


class SftpUnavailable(Unavailable):
    """Unreachable, silent, disconnected or failing without saying why: try again later."""

    type = "sftp-unavailable"
    title = "SFTP server unavailable"


class RemoteFileMissing(NotFound):
    """No such file or folder on the server."""

    type = "sftp-file-missing"
    title = "Remote file not found"


class RemoteFileRefused(Invalid):
    """Not a regular file (a symbolic link, a folder, a device), so it is not opened or moved."""

    type = "sftp-file-refused"
    title = "Remote file refused"


class RemoteFileChanged(Conflict):
    """The file is not what it was when the work began: shorter, longer, newer or replaced."""

    type = "sftp-file-changed"
    title = "Remote file changed"


class RemoteFileExists(Conflict):
    """Another file has the name already, and nothing is ever overwritten by a move."""

    type = "sftp-file-exists"
    title = "Remote file exists"


# Protocol and server errors, answers that cannot be decoded, and the network's own errors.
FAILURES: Final = (asyncssh.Error, PacketDecodeError, OSError)

# The first row whose exceptions match decides; what is left over is worth another try.
_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], type[DomainError], str], ...]] = (
    (
        (asyncssh.HostKeyNotVerifiable,),
        HostKeyMismatch,
        "the server's host key is not the one on record; ask its owner before you record another",
    ),
    (
        (asyncssh.KeyExchangeFailed, asyncssh.ProtocolNotSupported),
        SftpIncompatible,
        "the server and we found no common protocol; ask its owner which ciphers it offers",
    ),
    (
        (asyncssh.PermissionDenied, asyncssh.IllegalUserName),
        SftpAuthenticationFailed,
        "the server refused the login; check the username and the password or key",
    ),
    ((asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath), RemoteFileMissing, "no such file or folder"),
    (
        (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect, asyncssh.SFTPCannotDelete),
        SftpPermissionDenied,
        "the login has no permission for this; ask the server's owner",
    ),
    ((asyncssh.SFTPFileAlreadyExists,), RemoteFileExists, "a file of that name exists already"),
    ((TimeoutError,), SftpUnavailable, "the server did not answer in time"),
)


def domain_error(error: Exception, where: str) -> DomainError:
    """The domain error for an exception of asyncssh or the network, met at ``where`` (login and path)."""
    for exceptions, meaning, explanation in _MEANINGS:
        if isinstance(error, exceptions):
            return meaning(f"{where}: {explanation}")
    said = shown(str(error)) or type(error).__name__
    return SftpUnavailable(f"{where}: the server is not available ({said})")


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn every failure of asyncssh or the network inside into its domain error."""
    try:
        yield
    except FAILURES as error:
        raise domain_error(error, where) from error
