"""Every setting of the product, read once by a main from ``RECOUP_*`` variables and ``.env``.

Nothing below the composition roots imports this module: collaborators get what they need by
constructor.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_JWT_SECRET = "development-only-secret-never-for-production"  # noqa: S105
JWT_SECRET_BYTES = 32
_DATABASE_URL = re.compile(
    r"(postgresql|postgres)(\+\w+)?://(.*@)?(\[[^\]]*\]|[^/?@:]*)(:[0-9]{0,5})?([/?].*)?", re.DOTALL
)
STRIPE_API = "https://api.stripe.com"
DEVELOPMENT_COLUMN_KEYS = "dev:ZGV2ZWxvcG1lbnQtb25seS1rZXktMzItYnl0ZXMhISE="  # pragma: allowlist secret
# What is at a default address in production is not what was meant; the owner's is asked for where it is used.
_GIVEN_IN_PRODUCTION = ("database_url", "temporal_address", "storage_url", "public_url")
_NEVER_DERIVED_IN_PRODUCTION = (*_GIVEN_IN_PRODUCTION, "database_owner_url")


class Environment(StrEnum):
    """``development`` allows demo data and built-in secrets; ``production`` refuses both."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Stage(BaseSettings):
    """Only what kind of installation this is: readable before the rest has to be right."""

    model_config = SettingsConfigDict(env_prefix="RECOUP_", env_file=".env", extra="ignore", frozen=True)

    env: Environment = Environment.DEVELOPMENT


class Settings(Stage):
    """The settings, each an environment variable with the prefix ``RECOUP_``."""

    home: Path = Field(Path(".recoup"), description="where the sandbox keeps its state")
    log_level: str = "INFO"
    log_json: bool | None = Field(None, description="JSON lines; by default when output is no terminal")
    tracing: bool = Field(False, description="send traces to OTEL_EXPORTER_OTLP_ENDPOINT")
    tracing_sample: float = Field(1, ge=0, le=1, description="which part of the traces begun here is kept")

    host: str = Field("127.0.0.1", description="address that the API listens on")
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="addresses and networks whose X-Forwarded-For and -Proto are believed, comma separated",
    )
    api_port: int = Field(8000, ge=1, le=65535)
    postgres_port: int = Field(5433, ge=1, le=65535)
    temporal_port: int = Field(7233, ge=1, le=65535)
    temporal_ui_port: int = Field(8233, ge=1, le=65535)
    codec_port: int = Field(8234, ge=1, le=65535, description="port of the codec endpoint for the Web UI")
    codec_origins: str = Field(
        "",
        description="origins of Web UIs that may ask the codec endpoint, comma separated; that of"
        " RECOUP_TEMPORAL_UI_URL by default",
    )
    sftp_port: int = Field(2222, ge=1, le=65535)
    stripe_port: int = Field(12111, ge=1, le=65535)
    public_url: str = Field("", description="where Stripe and debtors reach the API, without its prefix")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of a worker's Prometheus metrics"
    )
    api_metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="port of the API's Prometheus metrics, else they are at its /metrics",
    )
    codec_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="the same for the codec endpoint's metrics"
    )
    worker_health_port: int | None = Field(
        None, ge=1, le=65535, description="port of a worker's /health/live and /health/ready"
    )
    postgres_bin: Path | None = Field(None, description="folder with the PostgreSQL binaries of the sandbox")

    database_url: str = Field("", description="the application role; cannot bypass row-level security")
    database_owner_url: str = Field("", description="the owner role, for migrations only")
    database_pool_size: int = Field(
        20, ge=1, description="connections of one process, and as many again for single reads"
    )

    temporal_address: str = ""
    temporal_namespace: str = "default"
    temporal_ui_url: str = ""
    temporal_tls: bool = Field(False, description="speak TLS to Temporal, by the system's authorities")
    temporal_tls_ca: Path | None = Field(None, description="PEM file of the authority to trust instead")
    temporal_tls_cert: Path | None = Field(None, description="PEM file of our certificate (mutual TLS)")
    temporal_tls_key: Path | None = Field(None, description="PEM file of our certificate's key")
    temporal_tls_server_name: str = Field("", description="name in the server's certificate")
    temporal_api_key: SecretStr | None = Field(None, description="API key of Temporal Cloud; needs TLS")
    build_id: str = Field("dev", description="version of the workers' code, such as the image tag")

    storage_url: str = Field("", description="object storage: file:///… or s3://bucket/prefix")
    stripe_url: str = Field("", description="Stripe's API; in development the sandbox's stand-in")

    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_JWT_SECRET)
    access_token_minutes: int = Field(15, ge=1)
    refresh_token_days: int = Field(7, ge=1)
    session_idle_minutes: int = Field(60, ge=1, description="a session of the console ends when unused")
    session_hours: int = Field(12, ge=1, description="how long a session of the console lasts at most")
    login_tries: int = Field(5, ge=2, le=100, description="failed logins for a name before it is locked")
    login_address_tries: int = Field(
        30, ge=2, description="failed logins from an address before it is locked, for as long as they count"
    )
    login_window_minutes: int = Field(15, ge=1, le=60, description="how long a failed login counts")
    login_lock_minutes: tuple[Annotated[int, Field(ge=1, le=60)], ...] = Field(
        (1, 5, 15), min_length=1, description="JSON list: how long a name is locked, each time longer"
    )
    login_hint: str = Field("", max_length=500, description="lines below the console's login, parted by ;")
    column_keys: SecretStr = Field(
        SecretStr(DEVELOPMENT_COLUMN_KEYS),
        description="id:base64 of 32 bytes, comma separated; the first encrypts, all decrypt",
    )
    payload_keys: SecretStr = Field(
        SecretStr(""), description="of what Temporal keeps, written like the column keys; empty: in the clear"
    )
    payload_encryption: bool = Field(
        True, description="false only decrypts, while processes run that do not know the payload keys"
    )

    scorecards: Path | None = Field(
        None, description="folder with scorecards and models of one's own (*.yaml), loaded at start"
    )
    rules: Path | None = Field(
        None, description="folder with compliance rule sets of one's own (*.yaml), loaded at start"
    )
    lifecycle_capacity: int = Field(
        200, ge=0, description="accounts worked at once, per agency, unless it says"
    )
    command_patience_seconds: float = Field(
        15, gt=0, description="how long a caller waits for an account's workflow to answer a command"
    )
    stripe_rate: float = Field(25, gt=0, description="steps at Stripe per second, over all workers")
    payment_patience_seconds: float = Field(
        3, ge=0, description="how long a caller waits for a payment or refund to be finished"
    )
    admission_rate: float = Field(50, gt=0, description="workflow starts per second and agency")
    upload_max_bytes: int = Field(2 << 30, ge=1)
    export_keep_days: int = Field(7, ge=1, description="how long the file of an export can be had")
    inbox_settle_seconds: float = Field(
        2, ge=0, description="how long after a webhook the books are asked whether it is news"
    )
    poll_settle_seconds: float = Field(3, ge=0, description="a file is whole when unchanged for this long")
    poll_minutes: int = Field(15, ge=1)
    retention_years: int = Field(
        3, ge=3, le=100, description="how long records are kept after the last activity on a debt"
    )
    partition_months: int = Field(
        18, ge=6, le=120, description="months ahead for which timeline, audit and scores have partitions"
    )

    @model_validator(mode="after")
    def _derive(self) -> Self:
        local = {
            "database_url": f"postgresql://recoup_app@127.0.0.1:{self.postgres_port}/recoup",
            "database_owner_url": f"postgresql://recoup_owner@127.0.0.1:{self.postgres_port}/recoup",
            "temporal_address": f"127.0.0.1:{self.temporal_port}",
            "temporal_ui_url": f"http://127.0.0.1:{self.temporal_ui_port}",
            "public_url": f"http://127.0.0.1:{self.api_port}",
            "storage_url": f"file://{(self.home / 'storage').absolute()}",
            "stripe_url": STRIPE_API if self.is_production else f"http://127.0.0.1:{self.stripe_port}",
        }
        given_only = _NEVER_DERIVED_IN_PRODUCTION if self.is_production else ()
        for name, value in local.items():
            if not getattr(self, name) and name not in given_only:
                object.__setattr__(self, name, value)
        return self

    @field_validator("database_url", "database_owner_url")
    @classmethod
    def _is_of_a_database(cls, url: str) -> str:
        # Never quoted: it may hold a password.
        if url and not _DATABASE_URL.fullmatch(url):
            raise ValueError("must look like postgresql://user@host:5432/recoup")
        return url

    @model_validator(mode="after")
    def _no_development_secrets_in_production(self) -> Self:
        if self.env is Environment.PRODUCTION:
            secret = self.jwt_secret.get_secret_value()
            if secret == DEVELOPMENT_JWT_SECRET or len(secret.encode()) < JWT_SECRET_BYTES:
                raise ValueError(
                    f"RECOUP_JWT_SECRET must be set in production, to {JWT_SECRET_BYTES} random bytes or more"
                )
            _, development_key = DEVELOPMENT_COLUMN_KEYS.split(":")
            if development_key in self.column_keys.get_secret_value():
                raise ValueError(
                    "RECOUP_COLUMN_KEYS must be set in production (id:base64 of 32 random bytes)"
                )
            self._require_payload_keys(development_key)
        return self

    @model_validator(mode="after")
    def _production_is_told_where_things_are(self) -> Self:
        absent = [f"RECOUP_{name.upper()}" for name in _GIVEN_IN_PRODUCTION if not getattr(self, name)]
        if absent:
            raise ValueError(f"{', '.join(absent)} must be set in production, which has no default addresses")
        return self

    @model_validator(mode="after")
    def _temporal_can_be_reached_so(self) -> Self:
        if (self.temporal_tls_cert is None) != (self.temporal_tls_key is None):
            raise ValueError("RECOUP_TEMPORAL_TLS_CERT and RECOUP_TEMPORAL_TLS_KEY go together; set both")
        wanting = self.temporal_api_key or self.temporal_tls_ca or self.temporal_tls_cert
        if wanting and not self.temporal_tls:
            raise ValueError(
                "RECOUP_TEMPORAL_TLS must be true: an API key or certificates are of no use without"
            )
        return self

    def _require_payload_keys(self, development_key: str) -> None:
        spec = self.payload_keys.get_secret_value()
        if not spec or development_key in spec:
            raise ValueError("RECOUP_PAYLOAD_KEYS must be set in production (id:base64 of 32 random bytes)")
        if _key_material(spec) & _key_material(self.column_keys.get_secret_value()):
            raise ValueError("RECOUP_PAYLOAD_KEYS and RECOUP_COLUMN_KEYS must not have a key in common")

    @property
    def is_production(self) -> bool:
        """Whether demo data, built-in secrets and destructive commands are refused."""
        return self.env is Environment.PRODUCTION


def _key_material(spec: str) -> set[str]:
    return {entry.rpartition(":")[2].strip() for entry in spec.split(",")}


def in_production() -> bool:
    """Whether this is production, whatever else the environment says; for mains only."""
    return Stage().env is Environment.PRODUCTION


def load_settings() -> Settings:
    """Read the settings from the environment; for mains only. Raises ``pydantic.ValidationError``."""
    return Settings()
