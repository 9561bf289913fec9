"""``recoup audit compliance``: every decision of the log, derived and chained again."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.audit_scores import chosen_agencies
from cli.consoles import plain_console
from domain.tenancy import Tenant
from runtime.settings import load_settings
from services.compliance_audit import Difference, Proof, differences

if TYPE_CHECKING:
    from rich.progress import TaskID

    from db.compliance_log import Link
    from db.models import Agency
    from db.session import Database

MOST_KEPT = 1_000
"""How many differences are shown; the rest is counted, so that memory stays small."""


@dataclass
class AuditedCompliance:
    """What was read, where each agency's chain ends, and by agency what differs."""

    decisions: int = 0
    ends: "dict[str, Link]" = field(default_factory=dict)
    differing: int = 0
    kept: list[tuple[str, Difference]] = field(default_factory=list)


async def audited_compliance(slug: str | None) -> AuditedCompliance:
    """Prove the log of one agency, or of all. ``NotFound`` when there is no such agency."""
    from api.composition import open_database

    found = AuditedCompliance()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_database(load_settings(), "recoup-audit") as database:
        agencies = await chosen_agencies(database, slug)
        with Progress(*columns, console=plain_console(stderr=True), transient=True) as progress:
            for agency in agencies:
                await _audit(database, agency, found, progress, progress.add_task(agency.slug, total=None))
    return found


async def _audit(
    database: "Database", agency: "Agency", found: AuditedCompliance, progress: Progress, task: "TaskID"
) -> None:
    proof = Proof()
    async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
        progress.update(task, total=await tx.compliance_log.count())
        async for difference in differences(tx, proof, lambda: progress.update(task, completed=proof.read)):
            found.differing += 1
            if len(found.kept) < MOST_KEPT:
                found.kept.append((agency.slug, difference))
    found.decisions += proof.read
    found.ends[agency.slug] = proof.last


def to_json(audited: AuditedCompliance) -> dict[str, Any]:
    """The result for machines; ``ends`` can be kept elsewhere, to know later that the log only grew."""
    return {
        "agencies": len(audited.ends),
        "decisions": audited.decisions,
        "ends": {slug: {"number": end.number, "hash": end.hash.hex()} for slug, end in audited.ends.items()},
        "differing": audited.differing,
        "breaches": [
            {"agency": slug, "number": difference.number, "what": difference.what}
            for slug, difference in audited.kept
        ],
    }


def show(audited: AuditedCompliance) -> None:
    """The result for people."""
    console = plain_console()
    checked = f"derived {audited.decisions:,} decisions of {len(audited.ends):,} agencies again"
    if not audited.differing:
        console.print(
            f"every decision follows from its inputs and rules, and the chains are whole: {checked}"
        )
        return
    table = Table("agency", "number", "what", title="differences in the log of decisions")
    for slug, difference in audited.kept:
        table.add_row(slug, "" if difference.number is None else str(difference.number), difference.what)
    console.print(table)
    if audited.differing > len(audited.kept):
        console.print(f"and {audited.differing - len(audited.kept):,} more")
    console.print(checked)
