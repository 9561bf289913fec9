"""``recoup replay``: would this version go on with the workflows that run, or with recorded ones?"""

import asyncio
import json
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from cli.consoles import plain_console
from cli.stages import Stages
from runtime.settings import Settings
from workers import replay

if TYPE_CHECKING:
    from temporalio.client import WorkflowHistory
    from temporalio.converter import DataConverter

    from workers.replay import Verdict

STAGE = "histories replayed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Recorded files and folders, or the newest of a server; where to save the latter, if anywhere."""

    paths: Sequence[Path]
    from_server: bool
    newest: int
    types: Sequence[str]
    query: str
    save: Path | None


def run(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Replay, show what came of it; the exit code, 1 where this version could not go on with a workflow."""
    # The SDK tells of each failure with its traces, which are told here in one line.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    verdicts = asyncio.run(_replayed(settings, wanted))
    if as_json:
        typer.echo(json.dumps(_report(verdicts)))
    else:
        _show(verdicts, saved=wanted.save)
    return 1 if any(verdict.breaks for verdict in verdicts) else 0


async def _replayed(settings: Settings, wanted: Wanted) -> "list[Verdict]":
    from runtime import temporal

    if not wanted.from_server:
        files = replay.recorded_in(wanted.paths)
        return await _watched(replay.recorded(files), temporal.data_converter(settings), None, len(files))
    client = await temporal.connect(settings)
    histories = replay.newest(client, wanted.newest, wanted.types, wanted.query)
    if wanted.save:
        histories = _saved(histories, wanted.save)
    return await _watched(histories, client.data_converter, settings.build_id, 0)


async def _saved(
    histories: "AsyncIterator[WorkflowHistory]", folder: Path
) -> "AsyncIterator[WorkflowHistory]":
    async for history in histories:
        await asyncio.to_thread(replay.save, history, folder)
        yield history


async def _watched(
    histories: "AsyncIterator[WorkflowHistory]", converter: "DataConverter", build_id: str | None, total: int
) -> "list[Verdict]":
    verdicts: list[Verdict] = []
    with Stages(plain_console(stderr=True)) as stages:
        async with aclosing(replay.replay(histories, converter, build_id)) as coming:
            async for verdict in coming:
                verdicts.append(verdict)
                stages.update(STAGE, len(verdicts), total)
    return verdicts


def _report(verdicts: "Sequence[Verdict]") -> dict[str, object]:
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    return {
        "histories": len(verdicts),
        **{outcome: outcomes[outcome] for outcome in ("replayed", "pinned", "nondeterministic", "failed")},
        "differing": [asdict(verdict) for verdict in verdicts if verdict.outcome != "replayed"],
    }


def _show(verdicts: "Sequence[Verdict]", *, saved: Path | None) -> None:
    console = plain_console()
    by_type: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_type[verdict.workflow_type].append(verdict)
    table = Table("workflow", "histories", "events", "replayed", "pinned elsewhere", "differ")
    for name, those in sorted(by_type.items()):
        outcomes = Counter(verdict.outcome for verdict in those)
        events = sum(verdict.events for verdict in those)
        differing = sum(verdict.breaks for verdict in those)
        counts = (len(those), events, outcomes["replayed"], outcomes["pinned"], differing)
        table.add_row(name, *(f"{count:,}" if count else "" for count in counts))
    if verdicts:
        console.print(table)
    for verdict in verdicts:
        if verdict.reason is not None:
            console.print(_line(verdict))
    breaking = sum(verdict.breaks for verdict in verdicts)
    console.print(
        f"{breaking:,} of {len(verdicts):,} histories would not go on with this version"
        if breaking
        else f"{len(verdicts):,} histories replayed: this version goes on with each"
    )
    if saved:
        console.print(f"they are in {saved}")


def _line(verdict: "Verdict") -> str:
    ended = f"goes on with {verdict.pinned_to}" if verdict.outcome == "pinned" else verdict.outcome
    place = f"{verdict.workflow_type} {verdict.workflow_id} run {verdict.run_id}"
    return f"{place}: {ended}: {verdict.reason}"
