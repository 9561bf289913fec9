"""A whole installation as `recoup dev` starts it: watched by a real Prometheus, asked by strangers."""

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitoring import dashboards
from sandbox.ports import free_ports
from sandbox.processes import Child, Command, until
from tests.deploy.tools import ROOT, run, tool

HOST = "127.0.0.1"
USER, PASSWORD = "demo.admin", "Demo@2026"
_VARIABLES = (
    "RECOUP_API_PORT",
    "RECOUP_POSTGRES_PORT",
    "RECOUP_TEMPORAL_PORT",
    "RECOUP_TEMPORAL_UI_PORT",
    "RECOUP_SFTP_PORT",
    "RECOUP_STRIPE_PORT",
    "RECOUP_METRICS_PORT",
    "RECOUP_WORKER_HEALTH_PORT",
    "RECOUP_API_METRICS_PORT",
)
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Installation:
    """Where the API and Prometheus are, and a way to ask the latter."""

    api: str
    prometheus: httpx.AsyncClient

    async def ask(self, what: str, **parameters: str) -> Any:
        answer = await self.prometheus.get(f"/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


async def _answers(url: str, *, having: str = "") -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and having in answer.text


def _prometheus_file(folder: Path, jobs: dict[str, int]) -> Path:
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(ROOT / "monitoring" / "rules" / "*.yml")],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
            for name, port in jobs.items()
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
async def installation(
    prometheus: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """The sandbox with its data taken in, and Prometheus that has scraped all of it some times."""
    folder = tmp_path_factory.mktemp("installation")
    ports = dict(zip(_VARIABLES, free_ports(len(_VARIABLES)), strict=True))
    [own] = free_ports(1)
    environment = {**os.environ, **{name: str(port) for name, port in ports.items()}}
    environment["RECOUP_HOME"] = str(folder / "home")
    words = [sys.executable, "-m", "cli.main", "dev"]
    stack = Child("recoup dev", Command(words, cwd=ROOT, environment=environment), folder / "recoup.log")
    jobs = {"recoup-api": ports["RECOUP_API_METRICS_PORT"], "recoup-worker": ports["RECOUP_METRICS_PORT"]}
    words = [str(prometheus / "prometheus"), f"--config.file={_prometheus_file(folder, jobs)}"]
    words += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={HOST}:{own}"]
    watcher = Child("Prometheus", Command(words), folder / "prometheus.log")
    try:
        # First, so that it sees the work done: rates of what was over before are nothing.
        await watcher.start()
        await stack.start()
        metrics = f"http://{HOST}:{ports['RECOUP_API_METRICS_PORT']}/metrics"
        await stack.until(
            lambda: _answers(metrics, having='recoup_import_files_total{status="completed"} 5.0'),
            within_s=300,
        )
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{own}", trust_env=False, timeout=30) as client:
            made = Installation(f"http://{HOST}:{ports['RECOUP_API_PORT']}", client)
            await watcher.until(lambda: _answers(f"http://{HOST}:{own}/-/ready"), within_s=60)

            async def scraped() -> bool:
                await _answers(
                    f"{made.api}/api/v1/schema"
                )  # Somebody has to ask, for requests to have durations.
                up = await made.ask("query", query="min(sum_over_time(up[5m])) >= 5")
                asked = await made.ask("query", query="sum(rate(recoup_http_request_seconds_count[5m])) > 0")
                return bool(up["result"] and asked["result"])

            await until(scraped, within_s=90, what="Prometheus to have scraped everything")
            yield made
    finally:
        await watcher.stop()
        await stack.stop(signal.SIGINT, grace_s=40)


async def test_every_process_is_scraped(installation: Installation) -> None:
    targets = (await installation.ask("targets"))["activeTargets"]
    assert {target["labels"]["job"]: target["health"] for target in targets} == {
        "recoup-api": "up",
        "recoup-worker": "up",
    }


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
async def test_no_panel_is_empty(installation: Installation, name: str) -> None:
    panels = json.loads((dashboards.FOLDER / f"{name}.json").read_text())["panels"]
    queries = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    answers = await asyncio.gather(*(installation.ask("query", query=query) for _, query in queries))
    assert [query for query, answer in zip(queries, answers, strict=True) if not _numbers(answer)] == []


def _numbers(answer: Any) -> list[float]:
    """What there is to draw: a quotient or a quantile of nothing is a sample, but no number."""
    values = (float(sample["value"][1]) for sample in answer["result"])
    return [value for value in values if math.isfinite(value)]


async def test_rules_are_evaluated_and_a_sound_installation_raises_none(installation: Installation) -> None:
    groups = (await installation.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


async def test_whatever_is_asked_the_api_answers_as_it_says(installation: Installation) -> None:
    async with httpx.AsyncClient(base_url=installation.api, trust_env=False, timeout=60) as client:
        # Made when it is first asked for, which a busy machine takes longer for than schemathesis waits.
        assert (await client.get("/api/v1/schema")).status_code == httpx.codes.OK
        login = await client.post("/api/v1/auth/token", json={"username": USER, "password": PASSWORD})
    words = [
        *("--header", f"Authorization: Bearer {login.json()['access']}"),
        *("--exclude-path-regex", "/events$|/auth/"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("--phases", "fuzzing", "--max-examples", "3", "--max-time", "90", "--request-timeout", "30"),
        *("--seed", "1", "--no-color"),
    ]
    schema = f"{installation.api}/api/v1/schema"
    await asyncio.to_thread(run, tool("schemathesis"), "run", schema, *words, timeout_s=300)


async def test_an_ordinary_day_is_quick_and_without_failures(installation: Installation) -> None:
    given = {"API": installation.api, "API_USER": USER, "API_PASSWORD": PASSWORD}
    variables = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
    script = Path(__file__).parent / "smoke.js"
    await asyncio.to_thread(run, tool("k6"), "run", "--quiet", "--no-usage-report", *variables, script)
