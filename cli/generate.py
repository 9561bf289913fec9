"""``recoup generate``: invented portfolios, into the database or as a file for the SFTP door."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer
from rich.console import Console
from rich.table import Table

from cli.admin_support import EXIT_USAGE, err, guarded, out
from cli.replacing import check_free, replacing
from cli.stages import Stages
from domain.errors import Invalid
from sandbox.generator import Generated, Portfolio, generate

if TYPE_CHECKING:
    from runtime.settings import Settings
    from sandbox.portfolio_tables import Distribution

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    count: int
    distribution: "Distribution"
    seed: int
    agency: str
    clear: bool
    scores: bool
    csv: str | None
    force: bool

    def refusal(self, *, as_json: bool) -> str | None:
        """Why these options do not go together, if they do not."""
        if self.csv is None:
            return "--force overwrites a file: it goes with --csv" if self.force else None
        if self.clear or not self.scores:
            return "--csv only writes a file: leave out --clear and --no-scores"
        if self.csv == STANDARD_OUTPUT and as_json:
            return "--csv - and --json both write to standard output: choose one"
        return None


def run(settings: "Settings", wanted: Wanted, *, as_json: bool) -> int:
    """Do what was asked for; the exit code."""
    if reason := wanted.refusal(as_json=as_json):
        err.print(reason)
        return EXIT_USAGE
    started = time.monotonic()
    portfolio = Portfolio(wanted.count, wanted.distribution, wanted.seed)
    with Stages(err) as stages:
        if wanted.csv is None:
            done = guarded(_generate(settings, portfolio, wanted, stages))
        else:
            done = {"file": wanted.csv, "bytes": _write(portfolio, wanted, stages)}
    summary = {
        "count": wanted.count,
        "distribution": wanted.distribution.value,
        "seed": wanted.seed,
        "prefix": portfolio.prefix,
        **done,
        "seconds": round(time.monotonic() - started, 3),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _show(summary, err if wanted.csv == STANDARD_OUTPUT else out)
    return 0


async def _generate(
    settings: "Settings", portfolio: Portfolio, wanted: Wanted, stages: Stages
) -> dict[str, Any]:
    made = await generate(
        settings,
        portfolio,
        agency=wanted.agency,
        clear=wanted.clear,
        scores=wanted.scores,
        report=stages.update,
        say=stages.say,
    )
    return _told(made, scored=wanted.scores)


def _told(made: Generated, *, scored: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "agency": made.agency,
        "accounts": made.accounts,
        "debtors": made.debtors,
        "removed": made.removed,
        "workflows_ended": made.workflows_ended,
    }
    if scored:
        told |= {
            "scoring_run_id": str(made.run_id),
            "errors": made.errors,
            "levels": made.levels,
            "high_priority": made.high_priority,
        }
    return told


def _write(portfolio: Portfolio, wanted: Wanted, stages: Stages) -> int:
    if wanted.csv == STANDARD_OUTPUT:
        counted = _Counted(sys.stdout.buffer)
        portfolio.write(counted, stages.update)
        sys.stdout.buffer.flush()
        return counted.bytes
    path = Path(wanted.csv or "")
    packed = path.name.lower().endswith(".csv.gz")
    if not packed and not path.name.lower().endswith(".csv"):
        raise Invalid(f"--csv: {path.name or path} must end in .csv or .csv.gz, or be - for standard output")
    check_free(path, "--csv", force=wanted.force)
    try:
        with replacing(path) as fh:
            (portfolio.write_packed if packed else portfolio.write)(fh, stages.update)
    except OSError as error:
        raise Invalid(f"--csv: {path} cannot be written: {error.strerror}") from None
    return path.stat().st_size


class _Counted:
    """A pipe that counts what goes through."""

    def __init__(self, fh: BinaryIO) -> None:
        self._fh = fh
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        return self._fh.write(data)


def _show(summary: Mapping[str, Any], console: Console) -> None:
    for what in ("workflows_ended", "removed"):
        if found := summary.get(what):
            listed = ", ".join(f"{count:,} {name}" for name, count in found.items())
            console.print(f"{'workflows ended' if what == 'workflows_ended' else what}: {listed}")
    speed = summary["count"] / summary["seconds"] if summary["seconds"] else 0
    took = f"in {summary['seconds']:.1f} s ({speed:,.0f} rows/s)"
    kind = f"{summary['distribution']} portfolio of seed {summary['seed']}"
    if "file" in summary:
        console.print(
            f"{summary['file']}: {summary['count']:,} rows, {summary['bytes']:,} bytes, {kind}, {took}"
        )
        return
    console.print(
        f"{summary['accounts']:,} accounts of {summary['debtors']:,} debtors for {summary['agency']}, "
        f"{summary['prefix']}-…, {kind}, {took}"
    )
    if "levels" not in summary:
        console.print(f"not scored; to do so: recoup score --agency {summary['agency']}")
        return
    levels = Table("level", "accounts")
    levels.columns[1].justify = "right"
    for level, accounts in sorted(summary["levels"].items(), key=lambda item: -item[1]):
        levels.add_row(level, f"{accounts:,}")
    console.print(levels)
    console.print(f"{summary['high_priority']:,} of high priority, {summary['errors']:,} not scored")
