"""What the sandbox shows at the end of a start: what came in, what is worth most, where to look."""

from typing import TYPE_CHECKING
from uuid import UUID

from rich.table import Column, Table

from db.account_lists import AccountFilter, AccountOrder
from domain.tenancy import Tenant
from sandbox.seed import DEMO_AGENCIES, OPERATOR, PLATFORM_USER

if TYPE_CHECKING:
    from rich.console import Console

    from db.session import Database
    from runtime.settings import Settings

LEVELS = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
MOST_VALUABLE = 10


async def print_summary(
    settings: "Settings", database: "Database", console: "Console", agencies: dict[str, UUID], *, stays: bool
) -> None:
    """Print files, accounts by risk level, the accounts worth most and, when it stays, where to go."""
    tenants = {slug: Tenant.system(agency_id, OPERATOR) for slug, agency_id in agencies.items()}
    console.print(await _files(database, tenants))
    console.print(await _levels(database, tenants))
    for slug, tenant in list(tenants.items())[:1]:
        console.print(await _most_valuable(database, slug, tenant))
    if stays:
        console.print(_places(settings))
        console.print(_logins())
        console.print("Ctrl-C stops everything; the next start finds its data.")


async def _files(database: "Database", tenants: dict[str, Tenant]) -> Table:
    table = Table("agency", Column("file", no_wrap=True), title="Portfolio files")
    for name in ("taken", "refused", "rows/s"):
        table.add_column(name, justify="right")
    for slug, tenant in tenants.items():
        async with database.transaction(tenant) as tx:
            jobs = await tx.import_reports.page(None, 20)
        for job in reversed(jobs):
            spent = (
                (job.completed_at - job.started_at).total_seconds()
                if job.completed_at and job.started_at
                else 0
            )
            table.add_row(
                slug,
                job.file_name,
                f"{job.processed_ok:,}" if job.status == "completed" else job.status,
                f"{job.processed_errors:,}",
                f"{job.total_records / spent:,.0f}" if spent else "",
            )
    return table


async def _levels(database: "Database", tenants: dict[str, Tenant]) -> Table:
    table = Table("agency", title="Accounts by risk level")
    for name in (*LEVELS, "being worked"):
        table.add_column(name, justify="right")
    for slug, tenant in tenants.items():
        async with database.transaction(tenant) as tx:
            levels = await tx.scores.levels()
            worked = await tx.admission.worked()
        table.add_row(slug, *(f"{levels.get(level, 0):,}" for level in LEVELS), f"{worked:,}")
    return table


async def _most_valuable(database: "Database", slug: str, tenant: Tenant) -> Table:
    table = Table(Column("reference", no_wrap=True), "debtor", "level", title=f"Worth most at {slug}")
    for name in ("balance", "score", "priority"):
        table.add_column(name, justify="right")
    async with database.transaction(tenant) as tx:
        views = await tx.accounts.page(AccountFilter(), AccountOrder.PRIORITY_DESC, None, MOST_VALUABLE)
    for view in views:
        score = view.score
        table.add_row(
            view.account.external_ref,
            view.debtor.full_name,
            score.level if score else "",
            f"{view.account.balance:,.2f}",
            f"{score.total}" if score else "",
            f"{score.rank / 100:,.0f}" if score else "",
        )
    return table


def _places(settings: "Settings") -> Table:
    api = f"http://{settings.host}:{settings.api_port}"
    table = Table("what", "where", title="Where to look")
    table.add_row("console", f"{api}/")
    table.add_row("REST API, Swagger UI", f"{api}/api/v1/docs")
    table.add_row("health", f"{api}/health/ready")
    table.add_row("metrics", f"{api}/metrics")
    table.add_row("Temporal Web UI", settings.temporal_ui_url)
    table.add_row("SFTP", f"sftp -P {settings.sftp_port} demo@127.0.0.1 (password demo)")
    table.add_row("Stripe stand-in", f"http://127.0.0.1:{settings.stripe_port} (any key sk_test_…)")
    table.add_row("PostgreSQL", settings.database_owner_url)
    table.add_row("logs", str(settings.home.absolute() / "logs"))
    return table


def _logins() -> Table:
    table = Table("user", "password", "role", "agency", title="Demo logins")
    for agency in DEMO_AGENCIES:
        for user in agency.users:
            table.add_row(user.username, user.password, user.role, agency.name)
    table.add_row(PLATFORM_USER.username, PLATFORM_USER.password, PLATFORM_USER.role, "picks one by X-Agency")
    return table
