"""The image: linted, built, small, and doing the main job with servers that were started by others."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.ports import free_ports
from sandbox.postgres import APPLICATION, OWNER, Postgres, ensure_database
from sandbox.processes import until
from sandbox.sftp import SftpServer
from sandbox.sftp_users import SftpUser
from sandbox.temporal import TemporalServer
from tests.deploy.engine import BUILD_ID, Engine, Image
from tests.deploy.main_job import PASSWORD, Inbox, do_the_main_job
from tests.deploy.tools import ROOT, run, tool

LOCKED_UP = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host")
OURS_MB = 480
"""What is in the image beside its base: half of it are the engine of the imports and Temporal's core."""

pytestmark = pytest.mark.timeout(1500)


def test_it_is_written_as_it_should_be() -> None:
    run(tool("hadolint"), "Dockerfile")


def test_nothing_goes_into_the_build_that_is_not_needed() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert not [
        line for line in lines if line.startswith("!") and line[1:].startswith((".env", ".git/", "tests"))
    ]


@dataclass
class Containers:
    """Containers of the image, each locked up as the chart locks them up."""

    engine: Engine
    image: str
    settings: dict[str, str]
    storage: str
    running: list[str] = field(default_factory=list)

    def _words(self, *options: str) -> list[str]:
        settings = [word for name, value in self.settings.items() for word in ("--env", f"{name}={value}")]
        return ["run", *LOCKED_UP, "--tmpfs", "/tmp:mode=1777", *settings, *options, self.image]  # noqa: S108

    def once(self, *command: str) -> str:
        """Run one to its end."""
        return self.engine.docker(*self._words("--rm"), *command)

    def start(self, *command: str) -> str:
        """Start one that goes on, with the volume of files; its id."""
        words = self._words("--detach", "--volume", f"{self.storage}:/var/lib/recoup")
        self.running.append(self.engine.docker(*words, *command).strip())
        return self.running[-1]

    async def well(self, container: str, process: str) -> None:
        """Wait until the process of a container says that it is well."""

        async def healthy() -> bool:
            ask = f"recoup health {process} >/dev/null 2>&1 && echo well || true"
            return "well" in await asyncio.to_thread(self.engine.docker, "exec", container, "sh", "-c", ask)

        await until(healthy, within_s=120, what=f"the {process} to be well")

    def admin(self, *words: str) -> str:
        """``recoup admin``, with the password that it asks for."""
        run_it = self._words("--rm", "--interactive")
        return self.engine.docker(*run_it, "admin", *words, given=f"{PASSWORD}\n")


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    """A creditor's SFTP server on this machine."""
    [port] = free_ports(1)
    user = SftpUser("creditor", secrets.token_hex(12))
    server = SftpServer(tmp_path / "sftp", [user], host_key=tmp_path / "host_key", port=port)
    await server.start()
    yield Inbox("127.0.0.1", port, user.name, user.password)
    await server.stop()


def _key() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture
async def containers(
    image: Image, postgres_server: Postgres, temporal_server: TemporalServer
) -> AsyncIterator[Containers]:
    """An empty database, a Temporal, a volume for files, and keys of its own."""
    await ensure_database(postgres_server, "image")
    api, metrics, worker_metrics, worker_health = free_ports(4)
    settings = {
        "RECOUP_DATABASE_URL": postgres_server.url(APPLICATION, "image"),
        "RECOUP_DATABASE_OWNER_URL": postgres_server.url(OWNER, "image"),
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_STORAGE_URL": "file:///var/lib/recoup",
        "RECOUP_JWT_SECRET": secrets.token_hex(32),
        "RECOUP_COLUMN_KEYS": _key(),
        "RECOUP_PAYLOAD_KEYS": _key(),
        "RECOUP_PUBLIC_URL": f"https://127.0.0.1:{api}",
        "RECOUP_API_PORT": str(api),
        "RECOUP_API_METRICS_PORT": str(metrics),
        "RECOUP_METRICS_PORT": str(worker_metrics),
        "RECOUP_WORKER_HEALTH_PORT": str(worker_health),
    }
    made = Containers(image.engine, image.name, settings, storage=f"recoup-check-{api}")
    made.engine.docker("volume", "create", made.storage)
    yield made
    for container in made.running:
        made.engine.docker("rm", "--force", container)
    made.engine.docker("volume", "rm", made.storage)


async def test_it_does_the_main_job_locked_up(containers: Containers, inbox: Inbox) -> None:
    containers.once("migrate")
    containers.once("schedules", "apply")
    worker = containers.start("worker")
    await containers.well(worker, "worker")
    containers.once("rollout", "promote", "--patience", "60")
    assert BUILD_ID in containers.once("rollout", "status")
    api = containers.start("api")
    await containers.well(api, "api")
    await containers.well(api, "ready")
    await do_the_main_job(
        f"http://127.0.0.1:{containers.settings['RECOUP_API_PORT']}", containers.admin, inbox
    )
    containers.once("audit", "ledger")


def test_it_is_small_and_runs_as_nobody(image: Image) -> None:
    def inspected(name: str, what: str) -> str:
        return image.engine.docker("image", "inspect", "--format", what, name).strip()

    all_of_it, below = (int(inspected(name, "{{.Size}}")) >> 20 for name in (image.name, image.base))
    assert all_of_it - below < OURS_MB, f"{all_of_it} MB, of which the base {below} MB"
    assert inspected(image.name, "{{.Config.User}}") == "10001:10001"
    assert inspected(image.name, "{{.Config.Healthcheck.Test}}") == "[CMD recoup health api]"
    words = ("run", "--rm", "--network", "host", "--entrypoint", "id", image.name, "-u")
    assert image.engine.docker(*words).strip() == "10001"


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, "RECOUP_JWT_SECRET must be set in production"),
        (
            {"RECOUP_JWT_SECRET": "x" * 40, "RECOUP_COLUMN_KEYS": _key(), "RECOUP_PAYLOAD_KEYS": _key()},
            "RECOUP_DATABASE_URL, RECOUP_TEMPORAL_ADDRESS, RECOUP_STORAGE_URL, RECOUP_PUBLIC_URL must be set",
        ),
    ],
    ids=["secrets", "addresses"],
)
async def test_production_refuses_to_start_without_what_only_its_operator_knows(
    image: Image, given: dict[str, str], refusal: str
) -> None:
    with pytest.raises(AssertionError, match=refusal):
        Containers(image.engine, image.name, given, storage="").once("api")
