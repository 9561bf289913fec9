"""`recoup admin …`: set up agencies and their people without SQL, over the services of the API.

Whoever may run it holds the database's password, so it asks for no login; the audit trail names the
operating system's user. Passwords are asked for, or read from standard input; never arguments.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.admin_support import (
    LIST_LIMIT,
    Admin,
    err,
    in_agency,
    new_password,
    operator,
    out,
    run,
    secret,
    show,
    show_all,
    views,
)
from cli.stages import Stages
from runtime.settings import load_settings
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.agencies import AgencyView, NewAgency
from services.onboarding.collectors import CollectorView, NewCollector
from services.onboarding.creditors import CreditorView, NewCreditor
from services.onboarding.sources import NewSource, SourceView
from services.onboarding.users import NewPlatformAdmin, NewUser, PasswordReset, UserView
from services.retention import report
from services.rotation import rotate_keys

app = typer.Typer(
    no_args_is_help=True, help="Set up agencies, users, collectors, creditors and SFTP sources; rotate keys."
)

Agency = Annotated[str, typer.Option("--agency", help="id or slug of the agency")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def _text(file: Path, option: str) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{file} cannot be read as text", param_hint=option) from None


def _json(file: Path, option: str) -> Any:
    try:
        return json.loads(_text(file, option))
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{file} is no JSON", param_hint=option) from None


class AgencyRole(StrEnum):
    """The roles inside an agency."""

    AGENCY_ADMIN = "agency_admin"
    COLLECTOR = "collector"
    AUDITOR = "auditor"


@app.command()
def create_platform_admin(
    username: Annotated[str, typer.Option()],
    full_name: Annotated[str, typer.Option()],
    email: Annotated[str | None, typer.Option()] = None,
    as_json: AsJson = False,
) -> None:
    """Make a platform administrator, who onboards agencies. Asks for the password."""
    values = {"username": username, "full_name": full_name, "email": email, "password": new_password()}

    async def work(admin: Admin) -> Any:
        form = NewPlatformAdmin.model_validate(values)
        return (await admin.users.create_platform_admin(operator().actor, form)).body

    show(run(work), as_json=as_json)


@app.command()
def create_agency(
    slug: Annotated[str, typer.Option(help="short name: lower-case letters, digits, hyphens")],
    name: Annotated[str, typer.Option()],
    time_zone: Annotated[str, typer.Option(help="IANA name")] = "America/New_York",
    scorecard: Annotated[str, typer.Option()] = "recovery-v1",
    default_creditor: Annotated[str, typer.Option(help="creditor of placements that name none")] = "Default",
    lifecycle_capacity: Annotated[
        int | None, typer.Option(help="accounts worked at once; the installation's setting by default")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an agency, its default creditor and its schedules."""
    values = {
        "slug": slug,
        "name": name,
        "time_zone": time_zone,
        "scorecard": scorecard,
        "default_creditor": default_creditor,
        "lifecycle_capacity": lifecycle_capacity,
    }

    async def work(admin: Admin) -> Any:
        form = NewAgency.model_validate(values)
        return (await admin.agencies.create(operator(), CommandKey("create agency"), form)).body

    show(run(work), as_json=as_json)


@app.command()
def create_user(
    agency: Agency,
    username: Annotated[str, typer.Option()],
    full_name: Annotated[str, typer.Option()],
    role: Annotated[AgencyRole, typer.Option()],
    email: Annotated[str | None, typer.Option()] = None,
    as_json: AsJson = False,
) -> None:
    """Make a user of an agency. Asks for the password."""
    values = {
        "username": username,
        "full_name": full_name,
        "email": email,
        "role": role.value,
        "password": new_password(),
    }

    async def work(admin: Admin, who: Principal) -> Any:
        form = NewUser.model_validate(values)
        return (await admin.users.create(who, CommandKey("create user"), form)).body

    show(in_agency(agency, work), as_json=as_json)


@app.command()
def create_collector(
    agency: Agency,
    username: Annotated[str, typer.Option(help="a user with the role collector")],
    max_accounts: Annotated[int, typer.Option(help="bound of automatic assignment")] = 200,
    as_json: AsJson = False,
) -> None:
    """Make a collector of a user, so that accounts can be assigned to them."""

    async def work(admin: Admin, who: Principal) -> Any:
        user = await admin.users.named(who, username)
        form = NewCollector(user_id=user.id, max_accounts=max_accounts)
        return (await admin.collectors.create(who, CommandKey("create collector"), form)).body

    show(in_agency(agency, work), as_json=as_json)


@app.command()
def create_creditor(
    agency: Agency,
    name: Annotated[str, typer.Option()],
    default: Annotated[bool, typer.Option("--default", help="make it the agency's default")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a creditor of an agency."""

    async def work(admin: Admin, who: Principal) -> Any:
        form = NewCreditor(name=name, is_default=default)
        return (await admin.creditors.create(who, CommandKey("create creditor"), form)).body

    show(in_agency(agency, work), as_json=as_json)


@app.command()
def create_sftp_source(
    agency: Agency,
    name: Annotated[str, typer.Option()],
    host: Annotated[str, typer.Option()],
    username: Annotated[str, typer.Option()],
    host_key: Annotated[Path, typer.Option(help="file with the server's public key", exists=True)],
    port: Annotated[int, typer.Option()] = 22,
    private_key: Annotated[
        Path | None, typer.Option(help="file with our private key; without it a password is asked for")
    ] = None,
    inbox: Annotated[str, typer.Option(help="folder that is polled")] = "/inbox",
    profile: Annotated[Path | None, typer.Option(help="import profile as a JSON file")] = None,
    creditor: Annotated[str | None, typer.Option(help="name of the creditor whose files these are")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an SFTP source of an agency. Asks for the password unless a private key is given."""
    values: dict[str, Any] = {
        "name": name,
        "host": host,
        "port": port,
        "username": username,
        "host_key": _text(host_key, "--host-key"),
        "inbox": inbox,
        "profile": _json(profile, "--profile") if profile else {},
        **(
            {"private_key": _text(private_key, "--private-key")}
            if private_key
            else {"password": secret("Password")}
        ),
    }

    async def work(admin: Admin, who: Principal) -> Any:
        if creditor is not None:
            values["creditor_id"] = (await admin.creditors.named(who, creditor)).id
        form = NewSource.model_validate(values)
        return (await admin.sources.create(who, CommandKey("create SFTP source"), form)).body

    show(in_agency(agency, work), as_json=as_json)


@app.command()
def set_password(username: Annotated[str, typer.Option()], as_json: AsJson = False) -> None:
    """Set any user's password and end all their logins. Asks for the password."""
    values = {"username": username, "password": new_password()}

    async def work(admin: Admin) -> Any:
        form = PasswordReset.model_validate(values)
        return (await admin.users.set_password(operator().actor, form)).body

    show(run(work), as_json=as_json)


@app.command()
def unlock(
    username: Annotated[str, typer.Argument(help="whose logins are refused")], as_json: AsJson = False
) -> None:
    """Forget a user's failed logins, so that the next one is looked at again."""

    async def work(admin: Admin) -> Any:
        return (await admin.users.unlock(operator().actor, username)).body

    show(run(work), as_json=as_json)


@app.command(name="rotate-keys")
def rotate(as_json: AsJson = False) -> None:
    """Encrypt all columns anew under the first of RECOUP_COLUMN_KEYS; afterwards the others can go."""

    async def work(admin: Admin) -> Any:
        with Stages(err) as stages:
            report = await rotate_keys(
                admin.database, operator().actor, partial(stages.update, "encrypted values")
            )
        return report.model_dump()

    show(run(work), as_json=as_json)


@app.command()
def retention(as_json: AsJson = False) -> None:
    """Which months of timeline, audit trail and score history could be archived. Changes nothing.

    A month could when nothing happened on any debt in it for RECOUP_RETENTION_YEARS, three at least
    (12 CFR 1006.100), and none of them is open, held, disputed, being paid or reconciled.
    """
    years = load_settings().retention_years

    async def work(admin: Admin) -> Any:
        found = await report(admin.database, operator().actor, years=years, today=datetime.now(UTC).date())
        return found.model_dump(mode="json")

    found = run(work)
    if as_json:
        show(found, as_json=True)
        return
    show_all(found["months"], ("partition", "rows", "kept", "archivable"), as_json=False)
    out.print(
        f"Records of a debt are needed when anything happened after {found['activity_until']}."
        " Nothing was changed; docs/compliance.md says how a month is archived."
    )


@app.command()
def list_agencies(as_json: AsJson = False) -> None:
    """List all agencies."""

    async def work(admin: Admin) -> Any:
        return views(AgencyView, await admin.agencies.page(operator(), None, LIST_LIMIT))

    show_all(run(work), ("slug", "name", "time_zone", "scorecard", "active"), as_json=as_json)


@app.command()
def list_users(agency: Agency, as_json: AsJson = False) -> None:
    """List the users of an agency."""

    async def work(admin: Admin, who: Principal) -> Any:
        return views(UserView, await admin.users.page(who, None, LIST_LIMIT))

    show_all(in_agency(agency, work), ("username", "full_name", "role", "active"), as_json=as_json)


@app.command()
def list_collectors(agency: Agency, as_json: AsJson = False) -> None:
    """List the collectors of an agency."""

    async def work(admin: Admin, who: Principal) -> Any:
        return views(CollectorView, await admin.collectors.page(who, None, LIST_LIMIT))

    show_all(in_agency(agency, work), ("id", "full_name", "max_accounts", "active"), as_json=as_json)


@app.command()
def list_creditors(agency: Agency, as_json: AsJson = False) -> None:
    """List the creditors of an agency."""

    async def work(admin: Admin, who: Principal) -> Any:
        return views(CreditorView, await admin.creditors.page(who, None, LIST_LIMIT))

    show_all(in_agency(agency, work), ("id", "name", "is_default", "active"), as_json=as_json)


@app.command()
def list_sftp_sources(agency: Agency, as_json: AsJson = False) -> None:
    """List the SFTP sources of an agency."""

    async def work(admin: Admin, who: Principal) -> Any:
        rows = await admin.sources.page(who, None, LIST_LIMIT)
        return [SourceView.of(row).model_dump(mode="json") for row in rows]

    columns = ("id", "name", "host", "port", "username", "inbox", "active", "last_problem")
    show_all(in_agency(agency, work), columns, as_json=as_json)
