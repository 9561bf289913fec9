"""``recoup audit``: proofs over the whole database, for operators and auditors."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from db.ledger import Breach
from domain.tenancy import Tenant
from runtime.settings import load_settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Prove that the books are sound."""


@app.command()
def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Compare every account's balance with its postings; exits 1 on a difference."""
    found = asyncio.run(_breaches())
    if as_json:
        typer.echo(json.dumps([_row(slug, breach) for slug, breach in found]))
    else:
        _show(found)
    if found:
        raise typer.Exit(1)


async def _breaches() -> list[tuple[str, Breach]]:
    from api.composition import open_database

    found = []
    async with open_database(load_settings(), "recoup-audit") as database:
        async with database.platform() as platform:
            agencies = list(await platform.agencies.every())
        for agency in agencies:
            async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
                found += [(agency.slug, breach) async for breach in tx.ledger.breaches()]
    return found


def _row(slug: str, breach: Breach) -> dict[str, str]:
    return {
        "agency": slug,
        "account_id": str(breach.account_id),
        "balance": str(breach.balance),
        "posted": str(breach.posted),
    }


def _show(found: list[tuple[str, Breach]]) -> None:
    console = Console()
    if not found:
        console.print("every balance equals its postings")
        return
    table = Table("agency", "account", "balance", "posted", title="balances that differ from their postings")
    for slug, breach in found:
        table.add_row(*_row(slug, breach).values())
    console.print(table)
