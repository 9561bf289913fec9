"""``recoup health``: ask a process whether it is well, for probes of containers and for people."""

from typing import Annotated

import httpx
import typer

from domain.errors import Unavailable
from runtime.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)
PATIENCE_S = 4.0


@app.callback()
def health() -> None:
    """Ask a process whether it is well; the exit code is 0 when it is."""


@app.command()
def api() -> None:
    """The API of this container answers."""
    _ask(f"http://127.0.0.1:{load_settings().api_port}/health/live")


@app.command()
def worker() -> None:
    """The worker of this container serves its queues (RECOUP_WORKER_HEALTH_PORT)."""
    _ask(f"http://127.0.0.1:{_worker_port(load_settings())}/health/ready")


@app.command()
def ready(
    url: Annotated[str, typer.Option(help="Where the API is; this machine's by default.")] = "",
) -> None:
    """The whole installation can do its work: database, schedules, search attributes, workers."""
    base = url.rstrip("/") or f"http://127.0.0.1:{load_settings().api_port}"
    _ask(f"{base}/health/ready")


def _worker_port(settings: Settings) -> int:
    if settings.worker_health_port is None:
        raise typer.BadParameter("set RECOUP_WORKER_HEALTH_PORT, for the worker and for this command")
    return settings.worker_health_port


def _ask(url: str) -> None:
    try:
        answer = httpx.get(url, timeout=PATIENCE_S, trust_env=False)
    except httpx.HTTPError as error:
        raise Unavailable(f"{url} does not answer: {type(error).__name__}") from error
    typer.echo(answer.text)
    if answer.status_code != httpx.codes.OK:
        raise typer.Exit(1)
