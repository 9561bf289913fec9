"""``recoup fairness``: what leaving the family situation out changes for an agency's accounts."""

import json
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from api.composition import open_database
from cli.admin_support import guarded, operator_of, out
from db.scorecard_files import builtin_scorecards
from services.fairness import FairnessReport, FairnessService

if TYPE_CHECKING:
    from runtime.settings import Settings


def run(settings: "Settings", agency: str, *, as_json: bool) -> None:
    """Show the report of an agency, named by id or slug."""
    report = guarded(_report(settings, agency))
    if as_json:
        typer.echo(json.dumps(report.model_dump(mode="json")))
    else:
        _show(report)


async def _report(settings: "Settings", agency: str) -> FairnessReport:
    async with open_database(settings, "recoup-fairness") as database:
        who = await operator_of(database, agency)
        return await FairnessService(database, builtin_scorecards()).report(who)


def _show(report: FairnessReport) -> None:
    shown = report.model_dump(mode="json")
    one, other = report.scorecards
    title = f"{report.accounts:,} accounts that owe, threshold {report.threshold:,.2f}"
    columns = ("mean total", "HIGH or CRITICAL", "high priority", "ratio to highest")
    table = Table("family situation", "accounts", "scorecard", *columns, title=title)
    for group in shown["groups"]:
        for name, figures in group["by_scorecard"].items():
            ratio = figures["ratio_to_highest"] or "–"
            table.add_row(
                group["family_situation"],
                f"{group['accounts']:,}",
                name,
                *(figures[key] or "–" for key in ("mean_total", "high_or_critical", "high_priority")),
                f"{ratio} (below 4/5)" if figures["below_four_fifths"] else ratio,
            )
    out.print(table)
    moves = Table(f"{one} ↓ {other} →", *report.migration, title="levels: accounts from one to the other")
    for was, found in report.migration.items():
        moves.add_row(was, *(f"{count:,}" for count in found.values()))
    out.print(moves)
    out.print(f"{report.changed_level:,} accounts change level, {report.changed_priority:,} change priority")
    for sentence in report.basis:
        out.print(sentence)
