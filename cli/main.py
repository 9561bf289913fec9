"""``recoup``: every command of the product. Heavy imports wait until a command needs them."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Coroutine, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.text import Text

from cli.consoles import plain_console
from domain.errors import DomainError, Forbidden, Invalid
from runtime.logging import configure_logging
from runtime.settings import Settings, in_production, load_settings
from runtime.tracing import log_processors, traced
from sandbox.portfolio_tables import Distribution

if TYPE_CHECKING:
    from starlette.types import ASGIApp

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: something does not answer, trying again may help."""
INTERRUPTED = 130
GROUPS = {
    "admin": "Set up agencies, users, creditors and SFTP sources.",
    "health": "Ask a process whether it is well.",
    "rollout": "Give versions of the workers their share of new work.",
    "schedules": "Look at and apply the Temporal schedules.",
    "audit": "Prove that the books are sound and that scores and decisions can be derived again.",
}
"""Groups of commands, each a module of this package that is loaded only when it is asked for."""

app = typer.Typer(
    help="Recoup: debt recovery on durable workflows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Queues = Annotated[
    str, typer.Option("--queues", help="Task queues to serve, comma separated; all by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Share = str
"""From 0 to 1, exact: read as a decimal by whom it is for."""


def _share(summary: str) -> Any:
    return typer.Option(help=summary, metavar="SHARE")


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    code = asyncio.run(work)
    if code:
        raise typer.Exit(code)


@app.command()
def dev() -> None:
    """Start the whole sandbox, do the main job before your eyes, and stay up until Ctrl-C."""
    _run(_sandbox(stay=True))


@app.command()
def demo() -> None:
    """Do what `dev` does, then stop everything and exit 0."""
    _run(_sandbox(stay=False))


async def _sandbox(*, stay: bool) -> int:
    from db import migrate
    from sandbox.show import Show
    from sandbox.supervisor import Supervisor

    _refuse_production("dev and demo are")
    settings, console = load_settings(), plain_console()
    show = Show(settings, console, stays=stay)
    return await Supervisor(settings, console, migrate=migrate.upgrade, after_start=show.run, stay=stay).run()


@app.command()
def api() -> None:
    """Serve the REST API and the console."""
    with _loading():
        from console.app import create_app
        from console.assets import AssetsMissing

        settings = _configured()
        try:
            application = create_app(settings)
        except AssetsMissing as missing:
            raise typer.BadParameter(str(missing)) from None
    _serve(settings, application, settings.api_port, "recoup-api")


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """What is loaded here stays: it is looked through neither meanwhile, which takes a fifth of the time of
    loading, nor by every full collection later, which would stop the process for 0.1 s."""
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@app.command()
def codec() -> None:
    """Serve the codec endpoint, with which Temporal's Web UI and command line show what is encrypted."""
    from api.codec import create_codec_app

    settings = _configured()
    _serve(settings, create_codec_app(settings), settings.codec_port, "recoup-codec")


def _serve(settings: Settings, application: "ASGIApp", port: int, name: str) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=settings.host,
            port=port,
            forwarded_allow_ips=settings.trusted_proxies,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    with traced(settings, name):
        server.run()
    if not server.started:
        raise typer.Exit(1)


@app.command()
def worker(queues: Queues = "") -> None:
    """Serve Temporal task queues."""
    from runtime import loops

    settings = _configured()
    with traced(settings, "recoup-worker"):
        loops.run(_work(settings, [name.strip() for name in queues.split(",") if name.strip()]))


async def _work(settings: Settings, wanted: list[str]) -> None:
    with _loading():
        from api.composition import open_database
        from gateways.storage import ObjectStorage
        from runtime import temporal
        from runtime.side_server import serving_beside
        from workers.deployment import ensure_search_attributes, make_current
        from workers.health import health_app
        from workers.worker import serving, until_signalled
        from workflows import queues

    client = await temporal.connect(settings, metrics_port=settings.metrics_port)
    if not settings.is_production:
        await ensure_search_attributes(client)
        await make_current(client, settings.build_id)
    async with open_database(settings, "recoup-worker") as database:
        storage = ObjectStorage(settings.storage_url)
        async with serving(settings, database, client, storage, wanted or queues.ALL) as served:
            if settings.worker_health_port is None:
                await until_signalled()
                return
            async with serving_beside(health_app(served), settings.host, settings.worker_health_port):
                await until_signalled()


@app.command()
def migrate(
    revision: Annotated[str, typer.Argument(help="Revision to migrate to.")] = "head",
) -> None:
    """Bring the database to the present schema, as its owner (RECOUP_DATABASE_OWNER_URL)."""
    from db import migrate as migrations

    settings = _configured()
    owner = settings.database_owner_url
    if not owner:
        raise Invalid("RECOUP_DATABASE_OWNER_URL must be set: the database is migrated by its owner")
    reached = migrations.upgrade(owner, revision, months=settings.partition_months)
    newer = "" if reached in migrations.known() else ", of a newer release, and stays there"
    plain_console().print(f"the database is at revision {reached}{newer}")


@app.command()
def seed() -> None:
    """Make the demo agencies, users and inboxes of a running sandbox (development only)."""
    from sandbox.show import seed_running

    _refuse_production("seed is")
    _run(seed_running(load_settings(), plain_console()))


@app.command()
def score(
    agency: Annotated[str, typer.Option(help="Id or slug of the agency.")],
    batch_size: Annotated[
        int | None, typer.Option(help="Accounts in one transaction, 1000 to 100000; 25000 by default.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(help="High priority is above this amount; the agency's by default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: show what a run would come to. Needs no worker.")
    ] = False,
    top_k: Annotated[int, typer.Option(help="How many of the best accounts to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Score all accounts of an agency now and watch it; Ctrl-C stops watching only."""
    from cli.score import Wanted
    from cli.score import run as run_scoring

    settings = load_settings()
    wanted = Wanted(agency=agency, batch_size=batch_size, threshold=threshold, top_k=top_k)
    if code := run_scoring(settings, wanted, dry_run=dry_run, as_json=as_json):
        raise typer.Exit(code)


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="LIST", help="accounts, worklist, payments, …")],
    agency: Annotated[str, typer.Option(help="Id or slug of the agency.")],
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="NAME=VALUE", help="A query parameter of the list; may be repeated."
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Fetch the file, - is standard output; else a link."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file of --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a list of an agency written into a CSV file; Ctrl-C stops watching only."""
    from cli.export import Wanted
    from cli.export import run as run_export

    wanted = Wanted(name, agency, filters or (), file, force)
    if code := run_export(load_settings(), wanted, as_json=as_json):
        raise typer.Exit(code)


@app.command()
def replay(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|DIR]...", help="Recorded histories, JSON.")
    ] = None,
    from_server: Annotated[
        bool, typer.Option("--from-server", help="Those of the namespace that the settings name.")
    ] = False,
    newest: Annotated[
        int, typer.Option(help="How many of each workflow type: those that run come first.", min=1)
    ] = 20,
    workflow: Annotated[list[str] | None, typer.Option(help="Only this type; may be repeated.")] = None,
    query: Annotated[str, typer.Option(help="Only what this visibility query of Temporal finds.")] = "",
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also record them there, as tests/replay replays them. They hold what the server holds:"
            " ids, statuses, amounts and dates, names of files, words that people gave as a reason or note;"
            " encrypted where RECOUP_PAYLOAD_KEYS is set, and then only replayed with those keys.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lead this version's workflows through histories: would it go on with what runs?

    Changes nothing. Exit code 1 when it would take other steps, with workflow, run and the SDK's reason. Not
    counted is what is pinned to another version, by whose workers it is ended.
    """
    from cli.replay import Wanted
    from cli.replay import run as run_replay

    if bool(paths) == from_server:
        raise typer.BadParameter("name recorded histories, or give --from-server")
    if paths and (workflow or query or save):
        raise typer.BadParameter("--workflow, --query and --save go with --from-server")
    wanted = Wanted(paths or (), from_server, newest, workflow or (), query, save)
    if code := run_replay(load_settings(), wanted, as_json=as_json):
        raise typer.Exit(code)


@app.command()
def generate(
    count: Annotated[int, typer.Option(help="Accounts to make.", min=1, max=10_000_000)] = 50_000,
    distribution: Annotated[
        Distribution,
        typer.Option(
            help="Shares of steady, middling and strained debtors: balanced 30, 45, 25 percent;"
            " high-risk 3, 17, 80; low-risk 80, 17, 3."
        ),
    ] = Distribution.BALANCED,
    seed: Annotated[
        int, typer.Option(help="The same seed makes the same portfolio.", min=0, max=999_999_999)
    ] = 42,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear",
            help="First remove the agency's accounts, debtors, ledger, timeline, scores, imports and"
            " scoring runs, and end their workflows. Users, creditors, sources and the audit trail stay.",
        ),
    ] = False,
    no_scores: Annotated[bool, typer.Option("--no-scores", help="Leave the accounts unscored.")] = False,
    agency: Annotated[str, typer.Option(help="Slug or id of the agency.")] = "demo",
    csv: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a portfolio file, .csv or .csv.gz, instead; - is standard output. Needs no sandbox.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file of --csv.")] = False,
    as_json: AsJson = False,
) -> None:
    """Invent a reproducible portfolio for a running sandbox, or as a file (development only).

    All is one transaction: interrupted, nothing was changed. While many accounts come in, the API and
    the workers wait for it.
    """
    from cli.generate import Wanted
    from cli.generate import run as run_generate

    _refuse_production("generate is")
    wanted = Wanted(
        count=count,
        distribution=distribution,
        seed=seed,
        agency=agency,
        clear=clear,
        scores=not no_scores,
        csv=csv,
        force=force,
    )
    if code := run_generate(load_settings(), wanted, as_json=as_json):
        raise typer.Exit(code)


@app.command()
def fairness(
    agency: Annotated[str, typer.Option(help="Id or slug of the agency.")], as_json: AsJson = False
) -> None:
    """Compare the scorecards with and without the family situation over an agency's accounts."""
    from cli.fairness import run as report

    report(load_settings(), agency, as_json=as_json)


@app.command(name="sftp-upload")
def sftp_upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A .csv or .csv.gz")
    ],
    user: Annotated[str, typer.Option(help="SFTP user of the sandbox, and its password's owner.")] = "demo",
    as_json: AsJson = False,
) -> None:
    """Put a portfolio file into an inbox of the sandbox's SFTP server, as a creditor would."""
    from cli.sftp_upload import upload

    _run(upload(load_settings(), file, user, plain_console(), as_json=as_json))


@app.command(name="simulate-partner")
def simulate_partner(
    partner: Annotated[str, typer.Option(help="Name or id of the partner.")],
    agency: Annotated[str, typer.Option(help="Slug or id of the agency.")] = "demo",
    seed: Annotated[int, typer.Option(help="The same seed plants the same.", min=0, max=999_999_999)] = 42,
    balance_variance: Annotated[Share, _share("Balances that differ by more than is tolerated.")] = "0.10",
    status_mismatch: Annotated[Share, _share("Open accounts as PAID, paid ones as UNPAID.")] = "0.20",
    missing: Annotated[Share, _share("Accounts of the partner that it leaves out.")] = "0.02",
    duplicates: Annotated[Share, _share("Accounts with two lines.")] = "0.01",
    unknown: Annotated[Share, _share("Lines about accounts that nobody has.")] = "0",
    stale: Annotated[Share, _share("Lines that are too old.")] = "0",
    currency: Annotated[Share, _share("Lines in another currency.")] = "0",
    timing: Annotated[Share, _share("Lines from before the last payment was posted.")] = "0",
    variants: Annotated[Share, _share("References written in another way; payments without one.")] = "0",
    splits: Annotated[Share, _share("Payments in two lines.")] = "0",
    noise: Annotated[Share, _share("Balances that differ within the tolerance: no breaks.")] = "0",
    out: Annotated[Path | None, typer.Option(help="Folder for the statement; here by default.")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Send it to the partner's SFTP folder.")] = False,
    truth: Annotated[
        Path | None, typer.Option(help="The truth file; PARTNER-SEED.truth.json here by default.")
    ] = None,
    packed: Annotated[bool, typer.Option("--gzip", help="Write a .csv.gz.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a partner's statement with planted breaks, and the truth about them (development only).

    Breaks are planted in shares, from 0 to 1, of the accounts that the partner has, else of the agency's.
    """
    from cli.simulate_partner import Wanted
    from cli.simulate_partner import run as run_simulation

    _refuse_production("simulate-partner is")
    shares = {
        "balance": balance_variance,
        "status": status_mismatch,
        "missing": missing,
        "duplicates": duplicates,
        "unknown": unknown,
        "stale": stale,
        "currency": currency,
        "timing": timing,
        "variants": variants,
        "splits": splits,
        "noise": noise,
    }
    wanted = Wanted(agency, partner, seed, shares, out, upload, truth, packed)
    if code := run_simulation(load_settings(), wanted, as_json=as_json):
        raise typer.Exit(code)


@app.command()
def bench(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="import, admission, scoring, worklist, transition, payments, reconciliation, console; all by"
            " default."
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(help="Rows of the import, accounts to score, list or reconcile.", min=1)
    ] = 1_000_000,
    accounts: Annotated[int, typer.Option(help="Account workflows to admit.", min=1)] = 1_000,
    repeat: Annotated[int, typer.Option(help="Turns of each; medians are shown.", min=1)] = 3,
    requests: Annotated[
        int,
        typer.Option(
            help="Requests for each page of worklist or console, updates of accounts, payments.", min=1
        ),
    ] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Measure speed against floors taken in the same run, on servers of its own."""
    from benchmarks.main import run

    _run(
        run(
            what or [],
            rows=rows,
            accounts=accounts,
            repeat=repeat,
            requests=requests,
            console=plain_console(),
            as_json=as_json,
        )
    )


@app.command()
def chaos(
    payments: Annotated[int, typer.Option(help="Payments that debtors ask for.", min=1, max=2000)] = 200,
    plans: Annotated[int, typer.Option(help="Payment plans among them.", min=0, max=200)] = 20,
    seed: Annotated[int, typer.Option(help="Of the dice that say who pays what and what is killed.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Take payments while workers, API and PostgreSQL are killed at random, and prove that no cent is wrong.

    On servers of its own. Exit code 1 when Stripe, journals and balances differ.
    """
    from sandbox.chaos.run import run

    _refuse_production("chaos is")
    _run(run(payments, plans, seed, plain_console(), as_json=as_json))


def _refuse_production(what: str) -> None:
    # Before the settings are read: they would complain of secrets that no sandbox needs.
    if in_production():
        raise Forbidden(f"{what} refused in production (RECOUP_ENV=production): for development only")


def _configured() -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level, as_json=settings.log_json, more=log_processors(settings))
    return settings


def _add_groups(wanted: str | None) -> None:
    for name, summary in GROUPS.items():
        group = import_module(f"cli.{name}").app if name == wanted else typer.Typer()
        app.add_typer(group, name=name, help=summary)


def main() -> NoReturn:
    """Run a command; expected failures are one line on standard error and exit code 1, or 75.

    Ends the process without the interpreter's finalisation: threads of the Temporal client may still
    come back to it then, upon which CPython 3.11 aborts now and then. All is closed by now.
    """
    code = _outcome()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _outcome() -> int:
    errors = plain_console(stderr=True)
    _add_groups(next(iter(sys.argv[1:]), None))
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except DomainError as error:
        errors.print(Text(error.message, style="red"))
        return TRY_AGAIN if error.retryable else 1
    except ValidationError as error:
        for fault in error.errors():
            name = "RECOUP_" + "_".join(str(part).upper() for part in fault["loc"])
            errors.print(Text(f"{name if fault['loc'] else 'settings'}: {fault['msg']}", style="red"))
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if (told := _of_temporal(error)) is None:
            raise
        errors.print(Text(told.message, style="red"))
        return TRY_AGAIN if told.retryable else 1
    return 0


def _of_temporal(error: Exception) -> DomainError | None:
    """What an answer of Temporal's means; where nobody has loaded its library, it is none."""
    service = sys.modules.get("temporalio.service")
    if service is None or not isinstance(error, service.RPCError):
        return None
    from runtime.temporal import explained

    return explained(error)


if __name__ == "__main__":
    main()
