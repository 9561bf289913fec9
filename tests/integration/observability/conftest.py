"""One stack for the tests of a module: processes that log, count and trace as in production."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from runtime import temporal
from runtime.settings import Settings
from runtime.side_server import serving_beside
from sandbox.ports import free_port
from sandbox.stripe.server import StripeServer
from sandbox.temporal import TemporalServer
from tests.command_line import CommandLine
from tests.integration.api.conftest import World, host_key, world
from tests.integration.observability.collector import Collector
from tests.integration.observability.stack import PAYLOAD_KEYS, Stack, environment, running

__all__ = ["host_key", "world"]


@pytest.fixture(scope="module")
async def temporal_client(temporal_server: TemporalServer, temporal_namespace: str) -> Client:
    """A client that encrypts, as all of the stack do."""
    settings = Settings(
        _env_file=None,
        temporal_address=temporal_server.address,
        temporal_namespace=temporal_namespace,
        payload_keys=PAYLOAD_KEYS,
    )
    return await temporal.connect(settings)


@pytest.fixture(scope="module")
async def stack(
    world: World,
    temporal_client: Client,
    running_stripe: StripeServer,
    command_line: CommandLine,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    collector, port = Collector(), free_port()
    settings = environment(world, temporal_client, running_stripe, port, folder)
    async with (
        serving_beside(collector, "127.0.0.1", port),
        running(command_line, folder, {**settings, "RECOUP_TRACING": "true"}) as ports,
    ):
        yield Stack(world, temporal_client, collector, folder, ports)
