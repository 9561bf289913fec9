"""``recoup simulate-partner``: a statement with planted breaks, and the truth about them."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer
from rich.table import Table

from activities.portfolio_sources import PortfolioSources
from activities.statement_files import partner_folder
from api.composition import open_database
from cli.admin_support import EXIT_USAGE, err, guarded, operator_of, out
from cli.stages import Stages
from domain.errors import Conflict, Invalid
from gateways.sftp import SftpGateway
from gateways.storage import ObjectStorage
from sandbox.partner_shares import Shares
from sandbox.partner_simulator import Simulated, simulate

if TYPE_CHECKING:
    from db.models import Partner
    from db.session import Transaction
    from domain.tenancy import Tenant
    from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    agency: str
    partner: str
    seed: int
    shares: Mapping[str, str]
    out: Path | None
    upload: bool
    truth: Path | None
    packed: bool


def run(settings: "Settings", wanted: Wanted, *, as_json: bool) -> int:
    """Write the statement and the truth; the exit code."""
    if wanted.out is not None and wanted.upload:
        err.print("--out keeps the statement here and --upload sends it: choose one")
        return EXIT_USAGE
    try:
        shares = Shares(**{name: Decimal(share) for name, share in wanted.shares.items()})
    except InvalidOperation:
        err.print("shares are numbers from 0 to 1, such as 0.05")
        return EXIT_USAGE
    except Invalid as error:
        err.print(error.message)
        return EXIT_USAGE
    with Stages(err) as stages:
        summary = guarded(_simulate(settings, wanted, shares, stages))
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _show(summary)
    return 0


async def _simulate(settings: "Settings", wanted: Wanted, shares: Shares, stages: Stages) -> dict[str, Any]:
    async with open_database(settings, "recoup-simulate-partner") as database:
        who = await operator_of(database, wanted.agency)
        async with database.transaction(who.tenant) as tx:
            partner = await _partner(tx, wanted.partner)
            made = await simulate(
                tx,
                partner,
                seed=wanted.seed,
                shares=shares,
                packed=wanted.packed,
                report=stages.update,
            )
        if wanted.upload:
            stages.update("uploading", 0, 0)
            sources = PortfolioSources(database, SftpGateway(), ObjectStorage(settings.storage_url))
            place = await _upload(sources, who.tenant, partner, made)
        else:
            place = str(_written(wanted.out or Path(), made))
    truth = wanted.truth or Path(f"{partner.name}-{wanted.seed}.truth.json")
    with _writable(truth):
        made.truth.write(truth)
    shown = {name: getattr(made.truth, name) for name in ("lines", "population", "counts", "notes")}
    return {"statement": place, "truth": str(truth), "variants": len(made.truth.links), **shown}


async def _partner(tx: "Transaction", reference: str) -> "Partner":
    """The partner with this id or name. ``NotFound``."""
    try:
        partner_id = UUID(reference)
    except ValueError:
        return await tx.partners.named(reference)
    return await tx.partners.get(partner_id)


async def _upload(sources: PortfolioSources, tenant: "Tenant", partner: "Partner", made: Simulated) -> str:
    """Put the statement where the partner puts its own, whole or not at all."""
    if partner.source_id is None:
        raise Conflict(f"{partner.name} has no SFTP source to upload to; write a file with --out")
    async with await sources.connect(tenant, partner.source_id) as session:
        placed = await session.upload(made.content, posixpath.join(partner_folder(partner.name), made.name))
    return placed.path


def _written(folder: Path, made: Simulated) -> Path:
    path = folder / made.name
    with _writable(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.content)
    return path


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}") from None


def _show(summary: Mapping[str, Any]) -> None:
    out.print(f"{summary['statement']}: {summary['lines']:,} lines about {summary['population']:,} of ours")
    table = Table("planted", "breaks")
    table.columns[1].justify = "right"
    for kind, count in summary["counts"].items():
        table.add_row(kind, f"{count:,}")
    out.print(table)
    if summary["variants"]:
        out.print(f"{summary['variants']:,} lines only a fallback of the matching finds")
    for note in summary["notes"]:
        out.print(note)
    out.print(f"the truth: {summary['truth']}")
