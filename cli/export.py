"""``recoup export``: have a list written into a file and watch that; fetch the file, or get a link to it."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

import typer
from rich.text import Text

from api.composition import build_services, open_database
from api.schemas.exports import export_request, filters_of
from cli.admin_support import EXIT_REFUSED, err, guarded, operator_of, out
from cli.meter import Meter
from cli.replacing import check_free, replacing
from domain.errors import Invalid
from runtime import temporal
from services.commands import CommandKey
from services.exports import ExportRequest, ExportService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.settings import Settings
    from services.access import Principal
    from services.export_views import ExportView

INTERRUPTED = 130
HINT_AFTER_S = 5.0
STANDARD_OUTPUT = "-"


@dataclass
class Wanted:
    """What was asked for on the command line, as it was typed; ``filters`` are ``name=value``."""

    name: str
    agency: str
    filters: "Sequence[str]"
    file: str | None
    force: bool

    def request(self, *, as_json: bool) -> ExportRequest:
        """The export that this is. ``Invalid`` and ``Conflict`` name the option."""
        if self.file == STANDARD_OUTPUT and as_json:
            raise Invalid("--out - and --json both write to standard output: choose one")
        if self.file is None and self.force:
            raise Invalid("--force overwrites a file: it goes with --out")
        if self.file not in {None, STANDARD_OUTPUT}:
            path = Path(self.file or "")
            check_free(path, "--out", force=self.force)
            if not path.parent.is_dir():
                raise Invalid(f"--out: there is no folder {path.parent}")
        pairs = [text.partition("=") for text in self.filters]
        for name, equals, value in pairs:
            if not equals or not value.strip():
                raise Invalid(f"--filter: write {name or 'name'}=value")
        return export_request(self.name, filters_of((name, value) for name, _, value in pairs))


def run(settings: "Settings", wanted: Wanted, *, as_json: bool) -> int:
    """Do what was asked for; the exit code."""
    watched: list[str] = []
    try:
        summary = guarded(_export(settings, wanted, watched, as_json=as_json))
    except KeyboardInterrupt:
        err.print("watched no longer, but the export goes on: GET /api/v1/exports/", *watched, sep="")
        return INTERRUPTED
    if as_json:
        typer.echo(json.dumps(summary))
    elif summary["status"] == "completed":
        where = wanted.file or summary["url"]
        console = err if wanted.file == STANDARD_OUTPUT else out
        console.print(f"{summary['rows']:,} rows, {summary['bytes']:,} bytes:", where, soft_wrap=True)
    if summary["status"] == "failed":
        err.print(Text.assemble(("error: ", "red"), f"the export failed: {summary['reason']}"))
        return EXIT_REFUSED
    return 0


async def _export(
    settings: "Settings", wanted: Wanted, watched: list[str], *, as_json: bool
) -> dict[str, Any]:
    request = wanted.request(as_json=as_json)
    async with open_database(settings, "recoup-export") as database:
        who = await operator_of(database, wanted.agency)
        services = build_services(settings, database, await temporal.connect(settings))
        try:
            exports = services.exports
            started = (await exports.ask(who, CommandKey("recoup export"), request)).body
            watched.append(started["id"])
            over = await _follow(exports, who, UUID(started["id"]))
            summary = over.model_dump(mode="json")
            if over.status == "completed":
                if wanted.file is None:
                    summary["url"] = (await exports.link(who, over.id)).url
                else:
                    await _fetch(exports, who, over.id, wanted.file)
                    summary["file"] = wanted.file
        finally:
            await services.close()
    return summary


async def _follow(exports: ExportService, who: "Principal", export_id: UUID) -> "ExportView":
    """Show the export's progress until it has ended; how it then stands."""
    with Meter(err, "rows") as meter:
        hint = asyncio.get_running_loop().call_later(
            HINT_AFTER_S,
            meter.say,
            "no worker has taken the export up yet; it begins as soon as one runs: recoup worker",
        )
        try:
            async with aclosing(exports.events.follow(who.tenant.agency_id, export_id)) as events:
                async for event in events:
                    if event.job.status != "pending":
                        hint.cancel()
                    meter.update(event.job.rows, event.job.total or 0)
                    if event.is_last:
                        return event.job
        finally:
            hint.cancel()
    raise RuntimeError("the progress of an export ends with its last event")


async def _fetch(exports: ExportService, who: "Principal", export_id: UUID, name: str) -> None:
    file = await exports.content(who, export_id)

    async def write(fh: BinaryIO) -> None:
        async for block in file.blocks:
            await asyncio.to_thread(fh.write, block)

    if name == STANDARD_OUTPUT:
        await write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(Path(name)) as fh:
            await write(fh)
    except OSError as error:
        raise Invalid(f"--out: {name} cannot be written: {error.strerror}") from None
