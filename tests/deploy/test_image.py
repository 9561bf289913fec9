"""The image: linted, built, and doing the main job against a PostgreSQL and a Temporal started by others."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sandbox.ports import free_ports
from sandbox.postgres import APPLICATION, OWNER, Postgres, ensure_database
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.deploy.conftest import ROOT, run, tool
from tests.deploy.engine import Engine, an_engine, stand_in

BUILD_ID = "9.9.9"
PASSWORD = "Correct-Horse@1"
FILE = b"external_ref,debtor_name,original_amount\nA-1,Ada Example,100.00\nA-2,Bea Example,-5\n"
LOCKED_UP = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host")


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
    running: list[str] = field(default_factory=list)

    def _words(self, *options: str) -> list[str]:
        settings = [word for name, value in self.settings.items() for word in ("--env", f"{name}={value}")]
        return ["run", *LOCKED_UP, "--tmpfs", "/tmp:mode=1777", *settings, *options, self.image]  # noqa: S108

    def once(self, *command: str) -> str:
        """Run one to its end."""
        return self.engine.docker(*self._words("--rm"), *command)

    def start(self, *command: str) -> str:
        """Start one that goes on, with the volume of files; its id."""
        words = self._words("--detach", "--volume", "recoup-storage:/var/lib/recoup")
        self.running.append(self.engine.docker(*words, *command).strip())
        return self.running[-1]


@pytest.fixture(scope="module")
async def image(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Engine, str]]:
    """The image as CI builds it; where no registry answers, on a stand-in for its base."""
    folder = tmp_path_factory.mktemp("engine")
    async with an_engine(folder) as engine:
        base = (
            []
            if os.environ.get("RECOUP_OFFICIAL_IMAGES")
            else ["--build-arg", f"PYTHON_IMAGE={stand_in(engine)}"]
        )
        context = folder / "context"
        context.mkdir()
        run("git", "archive", "--output", folder / "context.tar", "HEAD")
        run("tar", "--extract", "--file", folder / "context.tar", "--directory", context)
        words = ["--network", "host", "--build-arg", f"BUILD_ID={BUILD_ID}", "--tag", f"recoup:{BUILD_ID}"]
        engine.docker("build", *base, *words, context, timeout_s=600)
        yield engine, f"recoup:{BUILD_ID}"


@pytest.fixture
async def containers(
    image: tuple[Engine, str], postgres_server: Postgres, temporal_server: TemporalServer
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
        "RECOUP_COLUMN_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "RECOUP_PAYLOAD_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "RECOUP_PUBLIC_URL": f"http://127.0.0.1:{api}",
        "RECOUP_API_PORT": str(api),
        "RECOUP_API_METRICS_PORT": str(metrics),
        "RECOUP_METRICS_PORT": str(worker_metrics),
        "RECOUP_WORKER_HEALTH_PORT": str(worker_health),
    }
    made = Containers(*image, settings)
    made.engine.docker("volume", "create", "recoup-storage")
    yield made
    for container in made.running:
        made.engine.docker("rm", "--force", container)
    made.engine.docker("volume", "rm", "recoup-storage")


async def _well(containers: Containers, container: str, process: str) -> None:
    async def healthy() -> bool:
        words = (
            "exec",
            container,
            "sh",
            "-c",
            f"recoup health {process} >/dev/null 2>&1 && echo well || true",
        )
        return "well" in containers.engine.docker(*words)

    await until(healthy, within_s=120, what=f"the {process} to be well")


async def _ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
    answer = await client.request(method, f"/api/v1{path}", **more)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def _onboarded(containers: Containers, client: httpx.AsyncClient, api: str) -> None:
    make = "recoup admin create-platform-admin --username boss --full-name Boss"
    containers.engine.docker("exec", api, "sh", "-c", f"echo '{PASSWORD}' | {make}")
    boss = await _ask(client, "POST", "/auth/token", json={"username": "boss", "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {boss['access']}"
    agency = await _ask(client, "POST", "/agencies", json={"slug": "acme", "name": "Acme"})
    client.headers["X-Agency"] = agency["id"]
    admin = {"username": "ann", "full_name": "Ann", "role": "agency_admin", "password": PASSWORD}
    await _ask(client, "POST", "/users", json=admin)
    del client.headers["X-Agency"]
    ann = await _ask(client, "POST", "/auth/token", json={"username": "ann", "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {ann['access']}"


@pytest.mark.timeout(1500)
async def test_it_does_the_main_job_locked_up(containers: Containers) -> None:
    assert (
        containers.engine.docker("run", "--rm", "--entrypoint", "id", containers.image, "-u").strip()
        == "10001"
    )
    containers.once("migrate")
    containers.once("schedules", "apply")
    worker = containers.start("worker")
    await _well(containers, worker, "worker")
    containers.once("rollout", "promote", "--patience", "60")
    assert BUILD_ID in containers.once("rollout", "status")
    api = containers.start("api")
    await _well(containers, api, "api")
    base = containers.settings["RECOUP_PUBLIC_URL"]
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as client:
        await _onboarded(containers, client, api)
        sent = await _ask(client, "POST", "/imports", files={"file": ("a.csv", FILE, "text/csv")})

        async def taken() -> bool:
            seen = await _ask(client, "GET", f"/imports/{sent['id']}")
            assert seen["status"] != "failed", seen
            return bool(seen["status"] == "completed")

        await until(taken, within_s=120, what="the file to be taken in")
        [account] = (await _ask(client, "GET", "/accounts"))["results"]
        assert (account["external_ref"], account["current_balance"]) == ("A-1", "100.00")
        assert (await client.get("/login")).status_code == 200
    await asyncio.to_thread(containers.once, "audit", "ledger")


@pytest.mark.timeout(1500)
async def test_production_refuses_to_start_without_secrets_of_its_own(image: tuple[Engine, str]) -> None:
    with pytest.raises(AssertionError, match="RECOUP_JWT_SECRET must be set in production"):
        Containers(*image, {}).once("api")
