"""``recoup health``: ask a process whether it is well, for probes of containers and for people."""

from ipaddress import ip_address
from typing import Annotated

import httpx
import typer

from domain.errors import Unavailable
from runtime.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)
PATIENCE_S = 4.0
IPV6 = 6


@app.callback()
def health() -> None:
    """Ask a process whether it is well; the exit code is 0 when it is."""


@app.command()
def api() -> None:
    """The API of this container answers."""
    settings = load_settings()
    _ask(f"http://{_here(settings)}:{settings.api_port}/health/live")


@app.command()
def worker() -> None:
    """The worker of this container serves its queues (RECOUP_WORKER_HEALTH_PORT)."""
    settings = load_settings()
    _ask(f"http://{_here(settings)}:{_worker_port(settings)}/health/ready")


@app.command()
def codec() -> None:
    """The codec endpoint of this container answers."""
    settings = load_settings()
    _ask(f"http://{_here(settings)}:{settings.codec_port}/health/live")


@app.command()
def ready(
    url: Annotated[str, typer.Option(help="Where the API is; this machine's by default.")] = "",
) -> None:
    """The whole installation can do its work: database, schedules, search attributes, workers."""
    base = url.rstrip("/")
    if not base:
        settings = load_settings()
        base = f"http://{_here(settings)}:{settings.api_port}"
    _ask(f"{base}/health/ready")


def _here(settings: Settings) -> str:
    """The address to ask a process of this machine at: where it listens, if that is not everywhere."""
    try:
        listens = ip_address(settings.host)
    except ValueError:
        return settings.host
    if listens.is_unspecified:
        return "127.0.0.1"
    return f"[{listens}]" if listens.version == IPV6 else str(listens)


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
