"""What is derived where a setting is not given, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from temporalio.service import TLSConfig

from domain.errors import Invalid
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, DEVELOPMENT_JWT_SECRET, STRIPE_API, Settings
from runtime.temporal import tls_of

COLUMN_KEY = "QUFB" * 10 + "QUE="
PAYLOAD_KEYS = "b:" + "QkJC" * 10 + "QkI="
PRODUCTION: dict[str, Any] = {
    "env": "production",
    "jwt_secret": "x" * 40,
    "column_keys": f"a:{COLUMN_KEY}",
    "payload_keys": PAYLOAD_KEYS,
    "database_url": "postgresql://recoup_app@db/recoup",
    "temporal_address": "temporal:7233",
    "storage_url": "s3://files",
    "public_url": "https://recoup.test",
}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"stripe_port": 4242}, "http://127.0.0.1:4242"),
        (PRODUCTION, STRIPE_API),
        ({**PRODUCTION, "stripe_url": "http://stripe.test"}, "http://stripe.test"),
    ],
    ids=["development", "production", "given"],
)
def test_stripe_is_a_stand_in_in_development_only(given: dict[str, Any], url: str) -> None:
    assert Settings(_env_file=None, **given).stripe_url == url


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"jwt_secret": DEVELOPMENT_JWT_SECRET}, "RECOUP_JWT_SECRET"),
        ({"jwt_secret": "short"}, "RECOUP_JWT_SECRET"),
        ({"jwt_secret": ""}, "RECOUP_JWT_SECRET"),
        ({"column_keys": DEVELOPMENT_COLUMN_KEYS}, "RECOUP_COLUMN_KEYS"),
        ({"column_keys": f"{PRODUCTION['column_keys']},{DEVELOPMENT_COLUMN_KEYS}"}, "RECOUP_COLUMN_KEYS"),
        ({"column_keys": "other:" + DEVELOPMENT_COLUMN_KEYS.split(":")[1]}, "RECOUP_COLUMN_KEYS"),
        ({"payload_keys": ""}, "RECOUP_PAYLOAD_KEYS must be set"),
        ({"payload_keys": DEVELOPMENT_COLUMN_KEYS}, "RECOUP_PAYLOAD_KEYS must be set"),
        ({"payload_keys": f"x:{COLUMN_KEY}, {PAYLOAD_KEYS}"}, "must not have a key in common"),
    ],
    ids=[
        "built-in",
        "short",
        "empty",
        "built-in-key",
        "built-in-key-among-others",
        "built-in-key-renamed",
        "payloads-in-the-clear",
        "built-in-payload-key",
        "one-key-for-both",
    ],
)
def test_production_refuses_secrets_that_are_known(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(_env_file=None, **{**PRODUCTION, **given})


@pytest.mark.parametrize("name", ["database_url", "temporal_address", "storage_url", "public_url"])
def test_production_has_no_default_addresses(name: str) -> None:
    with pytest.raises(ValidationError, match=f"RECOUP_{name.upper()} must be set in production"):
        Settings(_env_file=None, **{**PRODUCTION, name: ""})
    assert getattr(Settings(_env_file=None), name)
    given: dict[str, Any] = {**PRODUCTION, "database_url": "postgresql://recoup_app@127.0.0.1/r"}
    assert Settings(_env_file=None, **given).database_url.endswith("@127.0.0.1/r")


def test_production_migrates_only_as_the_owner_that_is_named() -> None:
    assert Settings(_env_file=None, **PRODUCTION).database_owner_url == ""
    assert Settings(_env_file=None).database_owner_url.startswith("postgresql://recoup_owner@127.0.0.1:")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"temporal_tls": True, "temporal_tls_cert": "a.pem"}, "TLS_KEY go together"),
        ({"temporal_api_key": "key"}, "RECOUP_TEMPORAL_TLS must be true"),
        ({"temporal_tls_ca": "ca.pem"}, "RECOUP_TEMPORAL_TLS must be true"),
    ],
    ids=["half-a-pair", "key-in-the-clear", "authority-for-nothing"],
)
def test_temporal_is_not_reached_by_halves(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    "url", ["junk", "mysql://u@db/recoup", "postgresql://u:s3cret@db:port/recoup", "postgresql:/db"]
)
def test_what_is_no_address_of_a_database_is_named_and_not_shown(url: str) -> None:
    for name in ("database_url", "database_owner_url"):
        given: dict[str, Any] = {name: url}
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None, **given)
        [fault] = refused.value.errors()
        assert (fault["loc"], "must look like postgresql://" in fault["msg"]) == ((name,), True)
        assert "s3cret" not in fault["msg"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@[::1]:5432/recoup",
        "postgresql+psycopg://u:p@ss:w/rd@db/recoup?sslmode=require",
        "postgres:///recoup?host=/run/postgresql",
    ],
)
def test_addresses_of_databases_are_taken_as_they_are(url: str) -> None:
    assert Settings(_env_file=None, database_url=url).database_url == url


def test_certificates_are_read_from_their_files(tmp_path: Path) -> None:
    certificate, key, absent = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt"
    certificate.write_bytes(b"certificate")
    key.write_bytes(b"key")
    given = {"temporal_tls": True, "temporal_tls_cert": certificate, "temporal_tls_key": key}
    tls = tls_of(Settings(_env_file=None, **given, temporal_tls_server_name="temporal.internal"))
    assert isinstance(tls, TLSConfig)
    assert (tls.client_cert, tls.client_private_key) == (b"certificate", b"key")
    assert (tls.server_root_ca_cert, tls.domain) == (None, "temporal.internal")
    assert tls_of(Settings(_env_file=None)) is False
    with pytest.raises(Invalid, match=r"RECOUP_TEMPORAL_TLS_CA: .*ca\.crt"):
        tls_of(Settings(_env_file=None, temporal_tls=True, temporal_tls_ca=absent))
