"""Who may log in at the SFTP server of the sandbox, and the files that the server's process shares.

Apart from the server, so that the supervisor need not load an SSH implementation to start one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class SftpUser:
    """Someone who may log in, by password or by one of the public keys (OpenSSH lines)."""

    name: str
    password: str
    public_keys: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()


# Whom the demo data's SFTP sources log in as.
DEMO_USERS = (
    SftpUser("demo", "demo", partners=("northgate",)),
    SftpUser("rival", "demo", partners=("southgate",)),
)


def write_users(file: Path, users: Sequence[SftpUser]) -> None:
    """Write who may log in, for the server's own process; readable for its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps([asdict(user) for user in users], indent=2))


def read_users(file: Path) -> list[SftpUser]:
    """The users that ``write_users`` wrote."""
    return [
        SftpUser(user["name"], user["password"], tuple(user["public_keys"]), tuple(user["partners"]))
        for user in json.loads(file.read_text())
    ]


def public_part(host_key: Path) -> Path:
    """The file with the public part of a host key, beside the private one."""
    return host_key.with_name(f"{host_key.name}.pub")


def public_host_key(host_key: Path) -> str:
    """The public host key, ``type base64``. Raises ``FileNotFoundError`` before the server's first start."""
    return public_part(host_key).read_text().strip()
