"""The product's processes as they run in production, with payloads encrypted and traces sent."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client

from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from tests.command_line import CommandLine
from tests.integration.api.conftest import World
from tests.integration.observability.collector import Collector

PAYLOAD_KEYS = "test:" + "cGF5bG9hZHMgb2YgdGVzdHMsIDMyIGJ5dGVzISEhISE="
_ESCAPES = re.compile(r"\\x1b\[[0-9;]*m")


@dataclass
class Stack:
    """An API, a worker, a codec endpoint, and where they write."""

    world: World
    temporal: Client
    collector: Collector
    folder: Path
    ports: Mapping[str, int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    def log(self, process: str) -> str:
        """All that a process has written."""
        return (self.folder / f"{process}.log").read_text()

    def events(self, process: str) -> list[dict[str, Any]]:
        """What a process has logged."""
        return [json.loads(line) for line in self.log(process).splitlines()]

    async def metrics(self, process: str) -> str:
        """What Prometheus would be given."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"http://127.0.0.1:{self.ports[process + '_metrics']}/metrics")
        return answer.raise_for_status().text

    async def call(
        self, who: str | None, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """A request to the API; ``body`` is JSON, or bytes as they are."""
        if who is not None:
            headers["Authorization"] = f"Bearer {self.world.tokens[who]}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", trust_env=False, timeout=90) as client:
            return await client.request(method, path, content=content, headers=headers)

    async def done(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The body of the answer to a request that succeeds."""
        answer = await self.call(who, method, path, body, **headers)
        assert answer.is_success, answer.text
        return answer.json()


def environment(
    world: World, temporal: Client, stripe: StripeServer, collector_port: int, folder: Path
) -> dict[str, str]:
    """What all processes of a stack are told."""
    return {
        "RECOUP_DATABASE_URL": world.settings.database_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "RECOUP_TEMPORAL_NAMESPACE": temporal.namespace,
        "RECOUP_PAYLOAD_KEYS": PAYLOAD_KEYS,
        "RECOUP_STRIPE_URL": stripe.url,
        "RECOUP_STORAGE_URL": f"file://{folder}/storage",
        "RECOUP_HOME": str(folder / "home"),
        "RECOUP_POLL_SETTLE_SECONDS": "0.1",
        # What is asked for is done when it is answered, however busy the machine is.
        "RECOUP_COMMAND_PATIENCE_SECONDS": "60",
        "RECOUP_PAYMENT_PATIENCE_SECONDS": "60",
        "RECOUP_LOG_JSON": "true",
        "RECOUP_LOG_LEVEL": "DEBUG",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


@asynccontextmanager
async def running(
    command_line: CommandLine, folder: Path, settings: Mapping[str, str]
) -> AsyncIterator[dict[str, int]]:
    """``recoup api``, ``worker`` and ``codec`` with these settings, ready; yields their ports."""
    ports = {name: free_port() for name in ("api", "codec", "api_metrics", "worker_metrics")}
    more = {
        "RECOUP_API_PORT": str(ports["api"]),
        "RECOUP_CODEC_PORT": str(ports["codec"]),
        "RECOUP_API_METRICS_PORT": str(ports["api_metrics"]),
        "RECOUP_METRICS_PORT": str(ports["worker_metrics"]),
    }
    async with AsyncExitStack() as stack:
        for name in ("api", "worker", "codec"):
            log = folder / f"{name}.log"
            process = await command_line.start(name, cwd=folder, log=log, **settings, **more)
            stack.push_async_callback(_end, process)
        await until(lambda: _answers(ports), within_s=90, what="the API and the worker")
        yield ports


async def _answers(ports: Mapping[str, int]) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            ready = await client.get(f"http://127.0.0.1:{ports['api']}/health/ready")
            await client.get(f"http://127.0.0.1:{ports['codec']}/health/live")
    except httpx.TransportError:
        return False
    checks = ready.json()["checks"]
    return bool(checks["workers"]["ok"])


async def _end(process: Any) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()
