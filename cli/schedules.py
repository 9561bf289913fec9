"""``recoup schedules``: bring Temporal's schedules in line with their declaration, and look at them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from rich.table import Table

from cli.consoles import plain_console
from runtime.settings import load_settings
from services.access import Principal
from services.schedules import ScheduleService, ScheduleView

app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

OPERATOR = "recoup schedules"


@app.callback()
def schedules() -> None:
    """Look at and apply the Temporal schedules."""


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Make search attributes, the installation's and every active agency's schedules what they are declared
    to be.

    What is paused stays paused. Safe to repeat; run it after each deployment.
    """
    _show(asyncio.run(_applied()), as_json=as_json)


@app.command(name="list")
def show(as_json: AsJson = False) -> None:
    """The schedules of the installation and of every active agency: next runs, whether paused and why."""
    _show(asyncio.run(_listed()), as_json=as_json)


@asynccontextmanager
async def _agencies(*, prepare: bool = False) -> AsyncIterator[tuple[ScheduleService, list[Principal]]]:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    from api.composition import build_services, open_database
    from runtime import temporal
    from workers.deployment import ensure_search_attributes

    settings = load_settings()
    client = await temporal.connect(settings)
    # Else what the server does not know would look like schedules that are not there.
    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    if prepare:
        await ensure_search_attributes(client)
    async with open_database(settings, "recoup-schedules") as database:
        async with database.platform() as tx:
            principals = [Principal.operator(OPERATOR, agency.id) for agency in await tx.agencies.active()]
        yield build_services(settings, database, client).schedules, principals


async def _applied() -> list[ScheduleView]:
    async with _agencies(prepare=True) as (service, principals):
        await service.ensure_installation()
        for principal in principals:
            await service.ensure(principal.tenant.agency_id)
        return await _every(service, principals)


async def _listed() -> list[ScheduleView]:
    async with _agencies() as (service, principals):
        return await _every(service, principals)


async def _every(service: ScheduleService, principals: list[Principal]) -> list[ScheduleView]:
    of_agencies = [view for principal in principals for view in await service.list(principal)]
    return [*await service.of_installation(), *of_agencies]


def _show(views: list[ScheduleView], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views]))
        return
    table = Table("schedule", "workflow", "when", "next run", "paused")
    for view in views:
        following = f"{view.next_runs[0]:%Y-%m-%d %H:%M UTC}" if view.next_runs else ""
        paused = (view.note or "yes") if view.paused else ""
        table.add_row(view.id, view.workflow, view.spec, following, paused)
    plain_console().print(table)
