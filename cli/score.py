"""``recoup score``: score all accounts of an agency now and watch it, or see what that would come to."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from api.composition import build_services, open_database
from cli.admin_support import err, guarded, operator_of, out
from cli.meter import Meter
from db.scorecard_files import load_scorers
from domain.errors import Invalid
from runtime import temporal
from services.commands import CommandKey
from services.score_preview import ERRORS_SHOWN, ScorePreviewService
from services.scoring_runs import NewScoringRun, ScoringRunService
from services.scoring_views import elapsed_s, error_view

if TYPE_CHECKING:
    from runtime.settings import Settings
    from services.access import Principal
    from services.scoring_views import ScoringRunView

EXIT_FAILED = 1
INTERRUPTED = 130
HINT_AFTER_S = 5.0
MAX_TOP = 1_000


@dataclass
class Wanted:
    """What was asked for on the command line, as it was typed."""

    agency: str
    batch_size: int | None
    threshold: str | None
    top_k: int

    def form(self) -> NewScoringRun:
        """The request that this is. ``ValidationError`` or ``Invalid`` name the option."""
        if not 0 <= self.top_k <= MAX_TOP:
            raise Invalid(f"--top-k: must be from 0 to {MAX_TOP}")
        values = {"batch_size": self.batch_size, "threshold": self.threshold}
        return NewScoringRun.model_validate({k: v for k, v in values.items() if v is not None})


def run(settings: "Settings", wanted: Wanted, *, dry_run: bool, as_json: bool) -> int:
    """Do what was asked for; the exit code."""
    if dry_run:
        summary = guarded(_preview(settings, wanted))
    else:
        watched = _Watched()
        try:
            summary = guarded(_score(settings, wanted, watched))
        except KeyboardInterrupt:
            err.print(watched.goes_on())
            return INTERRUPTED
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _show(summary)
    if summary.get("status") == "failed":
        err.print(Text.assemble(("error: ", "red"), f"the run failed: {summary['reason']}"))
        return EXIT_FAILED
    return 0


@dataclass
class _Watched:
    """The run that is being watched, once it is started."""

    run_id: str | None = None
    web_ui_url: str = ""

    def goes_on(self) -> str:
        """What to say to whoever stops watching."""
        if self.run_id is None:
            return "interrupted before the answer; see GET /api/v1/scoring/runs whether a run was started"
        return (
            f"watched no longer, but the run goes on: GET /api/v1/scoring/runs/{self.run_id}"
            f" or {self.web_ui_url}"
        )


async def _preview(settings: "Settings", wanted: Wanted) -> dict[str, Any]:
    form = wanted.form()
    async with open_database(settings, "recoup-score") as database:
        who = await operator_of(database, wanted.agency)
        service = ScorePreviewService(database, load_scorers(settings.scorecards))
        with Meter(err, "accounts") as meter:
            view = await service.run(who, form, top=wanted.top_k, on_progress=meter.update)
    return view.model_dump(mode="json")


async def _score(settings: "Settings", wanted: Wanted, watched: _Watched) -> dict[str, Any]:
    form = wanted.form()
    async with open_database(settings, "recoup-score") as database:
        who = await operator_of(database, wanted.agency)
        client = await temporal.connect(settings)
        runs = build_services(settings, database, client).scoring_runs
        started = (await runs.start(who, CommandKey("recoup score"), form)).body
        watched.run_id, watched.web_ui_url = started["id"], started["web_ui_url"]
        over = await _follow(runs, who, UUID(started["id"]))
        errors = await runs.errors(who, over.id, None, ERRORS_SHOWN) if over.errors else ()
        best = await runs.best(who, wanted.top_k)
    seconds = elapsed_s(over.started_at, over.completed_at, over.updated_at)
    return over.model_dump(mode="json") | {
        "dry_run": False,
        "top": [account.model_dump(mode="json") for account in best],
        "first_errors": [error_view(error).model_dump(mode="json") for error in errors],
        "seconds": round(seconds, 3),
    }


async def _follow(runs: ScoringRunService, who: "Principal", run_id: UUID) -> "ScoringRunView":
    """Show the run's progress until it has ended; how it then stands."""
    with Meter(err, "accounts") as meter:
        hint = asyncio.get_running_loop().call_later(
            HINT_AFTER_S,
            meter.say,
            "no worker has taken the run up yet; it begins as soon as one runs: recoup worker",
        )
        try:
            async with aclosing(runs.events.follow(who.tenant.agency_id, run_id)) as events:
                async for event in events:
                    if event.job.chunks or event.is_last:
                        hint.cancel()
                    meter.update(event.job.scored + event.job.errors, event.job.total)
                    if event.is_last:
                        return event.job
        finally:
            hint.cancel()
    raise RuntimeError("the progress of a run ends with its last event")


def _show(summary: Mapping[str, Any]) -> None:
    speed = f" ({summary['rows_per_second']:,.0f} rows/s)" if summary["rows_per_second"] else ""
    verb = "would change" if summary["dry_run"] else "changed"
    scorecard = summary["scorecard"]
    out.print(
        f"{summary['scored']:,} accounts scored by {scorecard['name']} version {scorecard['version']}"
        f" in {summary['seconds']:.1f} s{speed}; {summary['changed']:,} {verb},"
        f" {summary['errors']:,} errors"
    )
    levels = Table("level", "accounts")
    levels.columns[1].justify = "right"
    for level, accounts in summary["levels"].items():
        levels.add_row(level, f"{accounts:,}")
    out.print(levels)
    threshold = Decimal(summary["threshold"])
    out.print(f"{summary['high_priority']:,} of high priority: above {threshold:,.2f}")
    _show_top(summary["top"])
    for error in summary["first_errors"]:
        out.print(f"not scored: {error['account_id']}: {error['error']}")
    if summary["dry_run"]:
        out.print("dry run: nothing was written")
    elif summary["errors"] > len(summary["first_errors"]):
        out.print(f"all errors: GET /api/v1/scoring/runs/{summary['id']}/errors")


def _show_top(best: Sequence[Mapping[str, Any]]) -> None:
    if not best:
        return
    table = Table("", "account", "reference", "priority score", "risk", "level")
    for index in (0, 3, 4):
        table.columns[index].justify = "right"
    for place, account in enumerate(best, start=1):
        table.add_row(
            str(place),
            account["account_id"],
            account["external_ref"],
            account["priority_score"],
            str(account["risk_score"]),
            account["risk_level"],
        )
    out.print(table)
