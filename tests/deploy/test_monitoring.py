"""Alert rules, their tests, their runbooks, and the dashboards."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from temporalio import bridge

from api.app import create_app
from api.operating_metrics import OperatingMetrics
from api.reconciliation_metrics import ReconciliationMetrics
from monitoring import dashboards
from runtime.metrics import HttpMetrics
from runtime.settings import Settings
from tests.deploy.tools import ROOT, run

RULES = ROOT / "monitoring" / "rules" / "recoup.yml"
TESTS = ROOT / "monitoring" / "rule_tests" / "recoup.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
_PREFIX = "/api/v1"


def test_rules_are_rules_and_do_what_they_say(prometheus: Path) -> None:
    run(prometheus / "promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)
    run(prometheus / "promtool", "check", "config", ROOT / "monitoring" / "compose" / "prometheus.yml")
    run(prometheus / "promtool", "test", "rules", TESTS)


def test_every_alert_is_raised_by_a_test() -> None:
    tested = TESTS.read_text()
    patterns = re.findall(r'alertname=~"([^"]+)"', tested)
    named = [alert for alert in ALERTS if alert in tested or any(re.fullmatch(p, alert) for p in patterns)]
    assert sorted(ALERTS) == sorted(named)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*ALERTS, "README"}
    index = (RUNBOOKS / "README.md").read_text()
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert f"[{name}]({name}.md) | {rule['labels']['severity']} |" in index
        runbook = (RUNBOOKS / f"{name}.md").read_text()
        assert f"`{name}`, {rule['labels']['severity']}." in runbook
        assert re.findall("^## (.*)$", runbook, re.MULTILINE) == ["What it means", "Impact", "Look", "Mend"]


def _operations() -> dict[tuple[str, str], set[str]]:
    schema = create_app(Settings(_env_file=None)).openapi()
    return {
        (method.upper(), re.sub(r"\{[^}]+\}", "[^/]+", path.removeprefix(_PREFIX))): {
            parameter["name"] for parameter in operation.get("parameters", [])
        }
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }


def test_runbooks_send_nobody_to_what_is_not_there() -> None:
    operations = _operations()
    asked = 0
    for path in [*RUNBOOKS.glob("*.md"), ROOT / "docs" / "operations.md"]:
        for method, wanted, query in re.findall(
            rf"`(GET |POST |PUT |DELETE |)(?:{_PREFIX})?(/[a-z][^`?\s]*)(\?[^`]*)?`", path.read_text()
        ):
            if wanted.startswith(("/health", "/metrics")):
                continue
            known = [
                names
                for (verb, pattern), names in operations.items()
                if verb == (method.strip() or "GET") and re.fullmatch(pattern, wanted)
            ]
            assert known, (path.name, method, wanted)
            names = set(re.findall(r"[?&](\w+)=", query))
            assert any(names <= each for each in known), (path.name, wanted, query)
            asked += 1
    assert asked > 20


def _ours() -> set[str]:
    registry = CollectorRegistry()
    HttpMetrics()
    OperatingMetrics(registry, lambda: pytest.fail("not asked"))
    ReconciliationMetrics(registry, lambda: pytest.fail("not asked"))
    families = [*registry.collect(), *HttpMetrics().registry.collect()]
    return {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families}


def _used() -> set[str]:
    queries = [rule["expr"] for rule in ALERTS.values()]
    panels = [panel for each in dashboards.DASHBOARDS.values() for panel in each]
    queries += [query for panel in panels for query, _ in panel.queries]
    return set(re.findall(r"\b(?:recoup|temporal|process)_\w+", " ".join(queries)))


def test_only_metrics_that_exist_are_asked_for() -> None:
    # Some of the SDK's appear only once something has failed; their names are in its library.
    [library] = Path(str(bridge.__file__)).parent.glob("*.so")
    names = library.read_bytes()
    ours = _ours()
    for metric in _used():
        plain = re.sub("_(bucket|count|sum)$", "", metric)
        if metric.startswith("temporal_"):
            known = re.sub("_(total|seconds)$", "", plain).removeprefix("temporal_").encode()
            assert known in names, metric
        else:
            assert plain in ours, metric


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_dashboards_are_as_declared(name: str) -> None:
    written = (dashboards.FOLDER / f"{name}.json").read_text()
    assert written == dashboards.dashboard(name), "run: python monitoring/dashboards.py"
    panels = json.loads(written)["panels"]
    assert len({panel["title"] for panel in panels}) >= len(panels) - 1
