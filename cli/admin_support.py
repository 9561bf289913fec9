"""What the commands of `recoup admin` share: services over the settings, prompts, output, exit codes."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from pydantic import SecretStr, ValidationError
from rich.table import Table
from rich.text import Text
from temporalio.service import RPCError

from api.composition import login_guard, open_database
from api.problems import field_path, sentence
from cli.consoles import plain_console
from db.rule_files import load_rule_sets
from db.scorecard_files import load_scorers
from domain.errors import DomainError, NotFound
from runtime import temporal
from runtime.settings import load_settings
from services.access import Principal
from services.fields import View
from services.onboarding.agencies import AgencyService
from services.onboarding.collectors import CollectorService
from services.onboarding.creditors import CreditorService
from services.onboarding.sources import SourceService
from services.onboarding.users import UserService
from services.passwords import Passwords
from services.schedules import ScheduleService
from services.scoring_runs import ScoringRunService
from services.web_ui import WebUi

if TYPE_CHECKING:
    from uuid import UUID

    from db.session import Database

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: something does not answer, trying again may help."""

LIST_LIMIT = 10_000

out = plain_console()
err = plain_console(stderr=True)


@dataclass(frozen=True, slots=True)
class Admin:
    """The services that the command line calls. Temporal is reached only when an agency is made."""

    database: "Database"
    agencies: AgencyService
    users: UserService
    collectors: CollectorService
    creditors: CreditorService
    sources: SourceService


Work = Callable[[Admin], Awaitable[Any]]
Returned = TypeVar("Returned")
AgencyWork = Callable[[Admin, Principal], Awaitable[Any]]


def _person() -> str:
    """Who runs this, by name; by number where the system knows none, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def operator(agency_id: "UUID | None" = None) -> Principal:
    """Whoever runs this command, as audit records name them."""
    return Principal.operator(f"operator:{_person()}", agency_id)


def run(work: Work) -> Any:
    """What ``work`` returns, or the exit with a message that says what to do."""
    return guarded(_work(work))


def guarded(work: Coroutine[Any, Any, Returned]) -> Returned:
    """What ``work`` returns, or the exit with a message that says what to do."""
    try:
        return asyncio.run(work)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            _complain(f"{_option(field_path(item['loc']))}: {sentence(item['msg'])}")
        raise typer.Exit(EXIT_USAGE) from None
    except DomainError as error:
        _complain(error.message)
        raise typer.Exit(EXIT_TRY_AGAIN if error.retryable else EXIT_REFUSED) from None
    except RPCError as error:
        told = temporal.explained(error)
        _complain(told.message)
        raise typer.Exit(EXIT_TRY_AGAIN if told.retryable else EXIT_REFUSED) from None


def in_agency(reference: str, work: AgencyWork) -> Any:
    """``run`` for an agency, given by its id or slug."""

    async def with_agency(admin: Admin) -> Any:
        return await work(admin, await operator_of(admin.database, reference))

    return run(with_agency)


async def operator_of(database: "Database", reference: str) -> Principal:
    """Whoever runs this command, for the agency with this id or slug. ``NotFound`` when there is none."""
    async with database.platform() as tx:
        agency = await tx.agencies.find(reference)
    if agency is None:
        raise NotFound(f"there is no agency “{reference}”")
    return operator(agency.id)


async def _work(work: Work) -> Any:
    async with _open() as admin:
        return await work(admin)


@asynccontextmanager
async def _open() -> AsyncIterator[Admin]:
    settings = load_settings()
    scorers = load_scorers(settings.scorecards)
    web_ui = WebUi(settings.temporal_ui_url, settings.temporal_namespace)
    async with open_database(settings, "recoup-admin") as database:

        async def ensure_schedules(agency_id: "UUID") -> None:
            client = await temporal.connect(settings)
            schedules = ScheduleService(
                database, client, web_ui, poll_every=timedelta(minutes=settings.poll_minutes)
            )
            await schedules.ensure(agency_id)

        async def score_all(agency_id: "UUID", requested_by: str) -> None:
            client = await temporal.connect(settings)
            await ScoringRunService(database, client, web_ui, scorers).score_all(agency_id, requested_by)

        yield Admin(
            database=database,
            agencies=AgencyService(
                database,
                ensure_schedules,
                score_all,
                tuple(scorers),
                tuple(load_rule_sets(settings.rules)),
            ),
            users=UserService(database, Passwords(), login_guard(settings, database)),
            collectors=CollectorService(database),
            creditors=CreditorService(database),
            sources=SourceService(database),
        )


def secret(label: str, *, confirm: bool = False) -> SecretStr:
    """A secret that is typed unseen, or the first line of standard input when that is no terminal."""
    if sys.stdin.isatty():
        return SecretStr(typer.prompt(label, hide_input=True, confirmation_prompt=confirm, err=True))
    return SecretStr(sys.stdin.readline().rstrip("\r\n"))


def new_password() -> SecretStr:
    """A password to be set, typed twice."""
    return secret("Password", confirm=True)


def views(view: type[View], rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Rows as JSON-ready mappings."""
    return [view.model_validate(row).model_dump(mode="json") for row in rows]


def show(values: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing."""
    if as_json:
        typer.echo(json.dumps(values))
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(name, _cell(value))
    out.print(table)


def show_all(rows: list[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a list: everything as JSON, or a table of some columns."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    out.print(table)


def _complain(message: str) -> None:
    err.print(Text.assemble(("error: ", "red"), message))


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}" if field else "settings"
