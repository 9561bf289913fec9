"""``recoup audit scores``: every score of the history, derived again from what it was made from."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.consoles import plain_console
from domain.errors import NotFound
from domain.tenancy import Tenant
from runtime.settings import load_settings
from services.score_history import ScoreBreach, Seen, breaches

if TYPE_CHECKING:
    from rich.progress import TaskID

    from db.models import Agency
    from db.session import Database

MOST_KEPT = 1_000
"""How many breaches are shown; the rest is counted, so that memory stays small."""


@dataclass
class AuditedScores:
    """What was derived again, of how many agencies, and by agency what came out otherwise."""

    agencies: int = 0
    seen: Seen = field(default_factory=Seen)
    breaches: int = 0
    kept: list[tuple[str, ScoreBreach]] = field(default_factory=list)


async def audited_scores(slug: str | None) -> AuditedScores:
    """Derive the scores of one agency, or of all. ``NotFound`` when there is no such agency."""
    from api.composition import open_database

    found = AuditedScores()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_database(load_settings(), "recoup-audit") as database:
        agencies = await chosen_agencies(database, slug)
        with Progress(*columns, console=plain_console(stderr=True), transient=True) as progress:
            for agency in agencies:
                await _audit(database, agency, found, progress, progress.add_task(agency.slug, total=None))
    found.agencies = len(agencies)
    return found


async def chosen_agencies(database: "Database", slug: str | None) -> "list[Agency]":
    """The agency of this slug, or all of them. ``NotFound`` when there is none."""
    async with database.platform() as tx:
        if slug is None:
            return list(await tx.agencies.every())
        agency = await tx.agencies.find(slug)
    if agency is None:
        raise NotFound(f"there is no agency “{slug}”")
    return [agency]


async def _audit(
    database: "Database", agency: "Agency", found: AuditedScores, progress: Progress, task: "TaskID"
) -> None:
    began = found.seen.read
    async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
        progress.update(task, total=await tx.score_history.count())
        async for breach in breaches(
            tx, found.seen, lambda: progress.update(task, completed=found.seen.read - began)
        ):
            found.breaches += 1
            if len(found.kept) < MOST_KEPT:
                found.kept.append((agency.slug, breach))


def to_json(audited: AuditedScores) -> dict[str, Any]:
    """The result for machines."""
    return {
        "agencies": audited.agencies,
        "scores": audited.seen.derived,
        "of_models": audited.seen.models,
        "differing": audited.breaches,
        "breaches": [
            {
                "agency": slug,
                "account_id": str(breach.account_id),
                "scored_at": breach.scored_at.isoformat(),
                "scorecard": breach.scorecard,
                "differs": list(breach.differs),
            }
            for slug, breach in audited.kept
        ],
    }


def show(audited: AuditedScores) -> None:
    """The result for people."""
    console = plain_console()
    checked = f"derived {audited.seen.derived:,} scores of {audited.agencies:,} agencies again"
    if audited.seen.models:
        checked += f"; {audited.seen.models:,} are of models, which only their own callable could derive"
    if not audited.breaches:
        console.print(f"every score follows from its inputs and its scorecard: {checked}")
        return
    table = Table("agency", "account", "scored at", "scorecard", "differs", title="scores that do not follow")
    for slug, breach in audited.kept:
        differs = ", ".join(breach.differs)
        table.add_row(slug, str(breach.account_id), breach.scored_at.isoformat(), breach.scorecard, differs)
    console.print(table)
    if audited.breaches > len(audited.kept):
        console.print(f"and {audited.breaches - len(audited.kept):,} more")
    console.print(checked)
