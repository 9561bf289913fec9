"""Connections to Temporal: one data converter for clients, workers, tests and the replayer."""

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError, TLSConfig
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from domain.errors import DomainError, Invalid, Unavailable
from runtime.payload_codec import EncryptingCodec, parse_payload_keys
from runtime.tracing import interceptors

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.settings import Settings

DATA_CONVERTER = pydantic_data_converter
"""How values become payloads; ``data_converter`` encrypts them besides, where the settings have keys."""

CONNECT_PATIENCE = timedelta(seconds=30)


async def connect(settings: "Settings", *, metrics_port: int | None = None) -> Client:
    """Connect to the Temporal server of the settings; the SDK's metrics go to ``metrics_port``, if any.

    Waits up to ``CONNECT_PATIENCE`` for a server that is just starting, then raises
    ``Unavailable`` naming the address and the setting.
    """
    runtime = _measured(f"{settings.host}:{metrics_port}") if metrics_port else None
    try:
        return await _connect(settings, tls_of(settings), runtime)
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
async def _connect(settings: "Settings", tls: bool | TLSConfig, runtime: Runtime | None) -> Client:
    key = settings.temporal_api_key
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=key.get_secret_value() if key else None,
        tls=tls,
        data_converter=data_converter(settings),
        runtime=runtime,
        interceptors=interceptors(settings),
    )


def explained(error: RPCError) -> DomainError:
    """What a refusal of the server means to who runs a command.

    ``Invalid`` where it does not know the namespace of the settings; else ``Unavailable`` naming the status.
    """
    status = error.grpc_status
    if any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in status.details):
        return Invalid(
            f"Temporal: {error.message.rstrip('.')}; set RECOUP_TEMPORAL_NAMESPACE to one that is there,"
            " or make it with `temporal operator namespace create`"
        )
    return Unavailable(f"Temporal did not answer as it should ({error.status.name}): {error.message}")


def payload_codec(settings: "Settings") -> EncryptingCodec | None:
    """What encrypts payloads by the settings, None without keys. ``Invalid`` for unusable ones."""
    if not (spec := settings.payload_keys.get_secret_value()):
        return None
    by_id = parse_payload_keys(spec)
    return EncryptingCodec(by_id, settings.temporal_namespace, encrypts=settings.payload_encryption)


def data_converter(settings: "Settings") -> DataConverter:
    """The converter of every client, worker and replayer of these settings.

    Messages and stack traces of failures are encrypted like payloads; their types are not.
    """
    codec = payload_codec(settings)
    if codec is None:
        return DATA_CONVERTER
    if not settings.payload_encryption:
        return dataclasses.replace(DATA_CONVERTER, payload_codec=codec)
    return dataclasses.replace(
        DATA_CONVERTER,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def tls_of(settings: "Settings") -> bool | TLSConfig:
    """How to speak TLS to the server, False for not at all. ``Invalid`` for a file that cannot be read."""
    if not settings.temporal_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_content(settings.temporal_tls_ca, "RECOUP_TEMPORAL_TLS_CA"),
        client_cert=_content(settings.temporal_tls_cert, "RECOUP_TEMPORAL_TLS_CERT"),
        client_private_key=_content(settings.temporal_tls_key, "RECOUP_TEMPORAL_TLS_KEY"),
        domain=settings.temporal_tls_server_name or None,
    )


def _content(path: "Path | None", variable: str) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise Invalid(f"{variable}: {path} cannot be read: {error.strerror}") from error


def _measured(address: str) -> Runtime:
    # Names and units as Prometheus has them: …_total, …_seconds.
    prometheus = PrometheusConfig(
        bind_address=address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    return Runtime(telemetry=TelemetryConfig(metrics=prometheus))
