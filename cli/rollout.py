"""``recoup rollout``: which version of the workers gets new work, and which earlier ones are still needed."""

import asyncio
import json
import logging
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from cli.consoles import plain_console
from runtime.settings import load_settings
from workers import rollout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.client import Client

Answer = TypeVar("Answer")
app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
BuildId = Annotated[str, typer.Option("--build-id", help="The version; RECOUP_BUILD_ID by default.")]
Patience = Annotated[
    int, typer.Option(help="Seconds to wait until the version's workers are seen on every queue.", min=1)
]


@app.callback()
def rolling_out() -> None:
    """Give versions of the workers their share of new work."""


@app.command()
def status(as_json: AsJson = False) -> None:
    """Every version: its share of new work, and whether workflows that are pinned to it still run."""
    _show(_with_client(lambda client, _: rollout.versions(client)), as_json=as_json)


@app.command()
def ramp(
    percent: Annotated[int, typer.Option(help="Share of new work.", min=1, max=99)],
    build_id: BuildId = "",
    patience: Patience = 300,
) -> None:
    """Give a version a share of new work; the first version of all becomes the current one."""
    wait = timedelta(seconds=patience)
    _with_client(lambda client, own: rollout.ramp(client, build_id or own, percent, wait))
    status(as_json=False)


@app.command()
def promote(build_id: BuildId = "", patience: Patience = 300) -> None:
    """Make a version the current one: all new work is its own. The earlier one drains."""
    wait = timedelta(seconds=patience)
    _with_client(lambda client, own: rollout.promote(client, build_id or own, wait))
    status(as_json=False)


@app.command()
def check(
    served: Annotated[str, typer.Option(help="Build ids that will have workers, comma separated.")],
    newest: Annotated[
        int, typer.Option("--replay", help="Also replay so many running workflows of each type.", min=0)
    ] = 0,
) -> None:
    """Fail when a version has work left that none of ``served`` would do; with --replay, when this one would
    not go on with what runs."""
    names = {name.strip() for name in served.split(",") if name.strip()}
    _with_client(lambda client, _: rollout.require_served(client, names))
    if newest:
        _with_client(lambda client, own: _require_replayed(client, own, newest))


async def _require_replayed(client: "Client", build_id: str, newest: int) -> None:
    from workers import replay

    # The SDK tells of each failure with its traces; here one line names them.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    running = replay.newest(client, newest, query=replay.RUNNING)
    await replay.require_replayed(replay.replay(running, client.data_converter, build_id))


def _with_client(work: "Callable[[Client, str], Awaitable[Answer]]") -> Answer:
    from runtime import temporal

    settings = load_settings()

    async def run() -> Answer:
        return await work(await temporal.connect(settings), settings.build_id)

    return asyncio.run(run())


def _show(found: tuple[rollout.Version, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in found]))
        return
    table = Table("version", "status", "share of new work")
    for version in found:
        table.add_row(version.build_id, version.status, f"{version.share:g} %" if version.share else "")
    plain_console().print(table)
