"""``recoup sftp-upload``: try the door that creditors use."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from activities.polling import PATTERNS
from domain.errors import Invalid
from gateways.sftp import SftpGateway
from gateways.sftp_endpoint import SftpEndpoint
from sandbox.ports import LOOPBACK
from sandbox.seed import SFTP_PASSWORD
from sandbox.sftp_users import public_host_key

if TYPE_CHECKING:
    from rich.console import Console

    from runtime.settings import Settings


async def upload(settings: "Settings", file: Path, user: str, console: "Console", *, as_json: bool) -> None:
    """Upload ``file`` into the inbox of ``user``, under its own name, whole or not at all.

    ``Invalid`` for a name that no poll would ever take.
    """
    if not any(fnmatchcase(file.name.lower(), pattern) for pattern in PATTERNS):
        raise Invalid(
            f"{file.name} would lie in the inbox for ever: a poll takes {' and '.join(PATTERNS)}; rename it"
        )
    endpoint = SftpEndpoint(
        host=LOOPBACK,
        port=settings.sftp_port,
        username=user,
        password=SFTP_PASSWORD,
        host_key=public_host_key(settings.home.absolute() / "keys" / "sftp_host_key"),
    )
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
    ) as progress:
        task = progress.add_task(file.name, total=None)
        async with SftpGateway().connect(endpoint) as session:
            placed = await session.upload(
                file,
                f"/inbox/{file.name}",
                lambda done, size: progress.update(task, completed=done, total=size),
            )
    if as_json:
        typer.echo(json.dumps({"path": placed.path, "size": placed.size}))
        return
    console.print(
        f"{placed.path}: {placed.size:,} bytes. The next poll takes it; to poll now:"
        f" POST http://{settings.host}:{settings.api_port}/api/v1/imports/poll"
    )
