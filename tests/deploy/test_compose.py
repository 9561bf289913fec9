"""The compose file: by its schema, by a linter, and by what every service has to have."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings
from tests.deploy.tools import ROOT, run, tool

FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_it_is_a_compose_file() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_it_is_written_as_it_should_be(npm_tool: Callable[[str], Path]) -> None:
    run(npm_tool("dclint"), "--max-warnings", "0", FILE)


def test_every_image_is_of_one_version() -> None:
    moving = [name for name, service in SERVICES.items() if not re.search(r":[^:}]*\w", service["image"])]
    assert moving == []
    assert not [name for name, service in SERVICES.items() if service["image"].endswith(":latest")]


def test_each_service_starts_once_those_before_it_are_well() -> None:
    for name, service in SERVICES.items():
        for before, how in service.get("depends_on", {}).items():
            once = SERVICES[before]["restart"].startswith("on-failure")
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert how["condition"] == wanted, (name, before)
            assert once or "test" in SERVICES[before]["healthcheck"], before


def test_ours_are_as_locked_up_as_in_a_cluster() -> None:
    assert set(OURS) == {"migrate", "schedules", "worker", "rollout", "api", "codec"}
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_only_this_host_reaches_it() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_settings_that_are_set_are_there() -> None:
    set_here = {name for service in OURS for name in SERVICES[service]["environment"]}
    known = {f"RECOUP_{name.upper()}" for name in Settings.model_fields}
    assert set_here <= known | {"OTEL_EXPORTER_OTLP_ENDPOINT"}


def test_the_example_names_every_variable_without_a_secret() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    text = FILE.read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required <= set(example)
    assert set(example) <= set(re.findall(r"\$\{(\w+)", text))
    secret = [name for name in example if re.search("PASSWORD|SECRET|KEYS", name)]
    assert secret
    assert [name for name in secret if example[name]] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"- (\./[\w./-]+):", FILE.read_text()))))
def test_what_is_mounted_is_there(path: str) -> None:
    assert (ROOT / path).exists()
