"""``recoup audit``: proofs over the whole database, for operators and auditors."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from cli.consoles import plain_console
from db.ledger import Breach
from domain.tenancy import Tenant
from runtime.settings import load_settings

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Audited:
    """How much was compared, and by agency what differs."""

    accounts: int
    agencies: int
    breaches: tuple[tuple[str, Breach], ...]


@app.callback()
def audit() -> None:
    """Prove that the books are sound and that scores and decisions can be derived again."""


@app.command()
def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Compare every account's balance with its postings; exits 1 on a difference."""
    audited = asyncio.run(_audited())
    if as_json:
        rows = [_row(slug, breach) for slug, breach in audited.breaches]
        report = {
            "agencies": audited.agencies,
            "accounts": audited.accounts,
            "differing": len(rows),
            "breaches": rows,
        }
        typer.echo(json.dumps(report))
    else:
        _show(audited)
    if audited.breaches:
        raise typer.Exit(1)


async def _audited() -> Audited:
    from api.composition import open_database

    accounts, found = 0, []
    async with open_database(load_settings(), "recoup-audit") as database:
        async with database.platform() as platform:
            agencies = list(await platform.agencies.every())
        for agency in agencies:
            async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
                accounts += await tx.ledger.accounts()
                found += [(agency.slug, breach) async for breach in tx.ledger.breaches()]
    return Audited(accounts, len(agencies), tuple(found))


@app.command()
def scores(
    agency: Annotated[str | None, typer.Option(help="Slug of one agency; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Derive every stored score again from its inputs and scorecard; exits 1 where another comes out."""
    from cli.audit_scores import audited_scores, show, to_json

    audited = asyncio.run(audited_scores(agency))
    if as_json:
        typer.echo(json.dumps(to_json(audited)))
    else:
        show(audited)
    if audited.breaches:
        raise typer.Exit(1)


@app.command()
def compliance(
    agency: Annotated[str | None, typer.Option(help="Slug of one agency; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Derive every decision about a contact again and prove the log's chain; exits 1 on a difference."""
    from cli.audit_compliance import audited_compliance, show, to_json

    audited = asyncio.run(audited_compliance(agency))
    if as_json:
        typer.echo(json.dumps(to_json(audited)))
    else:
        show(audited)
    if audited.differing:
        raise typer.Exit(1)


@app.command()
def payments(
    agency: Annotated[str | None, typer.Option(help="Slug of one agency; all by default.")] = None,
    with_stripe: Annotated[
        bool, typer.Option("--stripe", help="Also beside every charge, refund and dispute at Stripe.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Compare every payment, refund and chargeback with its journals; exits 1 on a difference."""
    from cli.audit_payments import audited_payments, show, to_json

    audited = asyncio.run(audited_payments(agency, with_stripe=with_stripe))
    if as_json:
        typer.echo(json.dumps(to_json(audited)))
    else:
        show(audited)
    if audited.differing:
        raise typer.Exit(1)


def _row(slug: str, breach: Breach) -> dict[str, str]:
    return {
        "agency": slug,
        "account_id": str(breach.account_id),
        "balance": str(breach.balance),
        "posted": str(breach.posted),
    }


def _show(audited: Audited) -> None:
    console = plain_console()
    checked = f"checked {audited.accounts:,} accounts of {audited.agencies:,} agencies"
    if not audited.breaches:
        console.print(f"every balance equals its postings: {checked}")
        return
    table = Table("agency", "account", "balance", "posted", title="balances that differ from their postings")
    for slug, breach in audited.breaches:
        table.add_row(*_row(slug, breach).values())
    console.print(table)
    console.print(checked)
