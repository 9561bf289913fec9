"""Connections to Temporal: one data converter for clients, workers, tests and the replayer."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from domain.errors import Unavailable

if TYPE_CHECKING:
    from runtime.settings import Settings

DATA_CONVERTER = pydantic_data_converter
CONNECT_PATIENCE = timedelta(seconds=30)


async def connect(settings: "Settings", *, metrics_port: int | None = None) -> Client:
    """Connect to the Temporal server of the settings; the SDK's metrics go to ``metrics_port``, if any.

    Waits up to ``CONNECT_PATIENCE`` for a server that is just starting, then raises
    ``Unavailable`` naming the address and the setting.
    """
    runtime = _measured(f"{settings.host}:{metrics_port}") if metrics_port else None
    try:
        return await _connect(settings.temporal_address, settings.temporal_namespace, runtime)
    except (RuntimeError, RPCError) as error:
        raise Unavailable(
            f"Temporal does not answer at {settings.temporal_address}; "
            "start it, or set RECOUP_TEMPORAL_ADDRESS"
        ) from error


@retry(
    retry=retry_if_exception_type((RuntimeError, RPCError)),
    stop=stop_after_delay(CONNECT_PATIENCE),
    wait=wait_exponential(multiplier=0.2, max=3),
    reraise=True,
)
async def _connect(address: str, namespace: str, runtime: Runtime | None) -> Client:
    return await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER, runtime=runtime)


def _measured(address: str) -> Runtime:
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
