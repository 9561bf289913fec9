"""The chart: what it makes of good values, what it refuses, and that every container is locked up."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import GROUPS
from cli.main import app as recoup
from runtime.settings import Settings
from tests.deploy.tools import CHART, EXAMPLES, ROOT, render, run, tool

MINIMAL: dict[str, Any] = yaml.safe_load((CHART / "examples" / "minimal.yaml").read_text())
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Manifest]]:
    """The manifests of every example."""
    values = [yaml.safe_load(path.read_text()) for path in EXAMPLES]
    return {path.stem: made for path, made in zip(EXAMPLES, render(*values), strict=True)}


@pytest.fixture(scope="module")
def files(rendered: dict[str, list[Manifest]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same as files."""
    folder = tmp_path_factory.mktemp("rendered")
    for name, manifests in rendered.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(manifests))
    return sorted(folder.iterdir())


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [
        each for each in manifests if each["kind"] in {"Deployment", "Job", "StatefulSet", "CronJob", "Pod"}
    ]


def kinds(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def test_it_is_linted() -> None:
    lint = "import json, sys, helm_python as helm; chart, values = sys.argv[1:];"
    lint += " print(json.dumps(helm.lint(chart, json.loads(values), strict=True)['messages']))"
    said = json.loads(run(tool("python"), "-c", lint, CHART, json.dumps(MINIMAL)))
    assert [message for message in said if message["severity"] > 1] == []


def test_every_manifest_is_what_kubernetes_takes(files: list[Path]) -> None:
    run(tool("kubernetes-validate"), "--strict", "--no-warn", *files)


@pytest.mark.timeout(400)
def test_no_policy_is_broken(files: list[Path]) -> None:
    config = ROOT / "helm" / ".checkov.yaml"
    run(
        tool("checkov"),
        "--config-file",
        config,
        "--skip-download",
        "--directory",
        files[0].parent,
        timeout_s=380,
    )


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
def test_every_container_is_bounded_watched_and_nobody(
    rendered: dict[str, list[Manifest]], example: str
) -> None:
    found = workloads(rendered[example])
    assert found
    for workload in found:
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            where = f"{workload['kind']} {workload['metadata']['name']}"
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], where
            assert not security["allowPrivilegeEscalation"], where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert set(container["resources"]) == {"requests", "limits"}, where
            for bound in container["resources"].values():
                assert {"cpu", "memory"} <= set(bound), where
            if workload["kind"] == "Deployment":
                assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container), where


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
def test_no_secret_is_written_down(rendered: dict[str, list[Manifest]], example: str) -> None:
    assert kinds(rendered[example], "Secret") == []
    for workload in workloads(rendered[example]):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            for variable in container["env"]:
                secret = re.search(r"SECRET|PASSWORD|_KEYS?$|TOKEN|DATABASE.*_URL", variable["name"])
                # Those of TLS are paths of files.
                if secret and "TLS" not in variable["name"]:
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
def test_processes_and_their_settings_exist(rendered: dict[str, list[Manifest]], example: str) -> None:
    commands = {command.name or command.callback.__name__ for command in recoup.registered_commands}  # type: ignore[union-attr]
    known = {f"RECOUP_{name.upper()}" for name in Settings.model_fields}
    for workload in workloads(rendered[example]):
        [container] = workload["spec"]["template"]["spec"]["containers"]
        assert container["args"][0] in commands | set(GROUPS)
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
        assert {name for name in names if name.startswith("RECOUP_")} <= known


def test_only_the_proxies_that_are_named_are_believed(rendered: dict[str, list[Manifest]]) -> None:
    believed = {"minimal": "127.0.0.1", "temporal-cloud": "10.20.0.0/16"}
    for example, proxies in believed.items():
        for workload in workloads(rendered[example]):
            [container] = workload["spec"]["template"]["spec"]["containers"]
            assert {"name": "RECOUP_TRUSTED_PROXIES", "value": proxies} in container["env"]


def test_only_the_migrating_job_is_the_owner(rendered: dict[str, list[Manifest]]) -> None:
    for manifests in rendered.values():
        owners = [
            workload["metadata"]["name"]
            for workload in workloads(manifests)
            if "RECOUP_DATABASE_OWNER_URL" in str(workload["spec"])
        ]
        assert owners == ["recoup-migrate"]


def test_versions_run_side_by_side_until_they_are_drained(rendered: dict[str, list[Manifest]]) -> None:
    manifests = rendered["rolling-out"]
    deployed = {each["metadata"]["name"]: each for each in kinds(manifests, "Deployment")}
    workers = {name for name in deployed if "-worker-" in name}
    assert workers == {
        f"recoup-worker-{queue}-{version}"
        for queue in ("lifecycle", "money", "bulk")
        for version in ("1-5-0", "1-4-0", "1-3-2")
    }
    [old] = deployed["recoup-worker-money-1-3-2"]["spec"]["template"]["spec"]["containers"]
    assert old["image"] == "recoup:1.3.2"
    assert {"name": "RECOUP_BUILD_ID", "value": "1.3.2"} in old["env"]
    jobs = {each["metadata"]["name"]: each for each in kinds(manifests, "Job")}
    [check] = jobs["recoup-rollout-check"]["spec"]["template"]["spec"]["containers"]
    assert check["args"] == ["rollout", "check", "--served", "1.5.0,1.4.0,1.3.2", "--replay", "20"]
    [ramp] = jobs["recoup-rollout"]["spec"]["template"]["spec"]["containers"]
    assert ramp["args"] == ["rollout", "ramp", "--percent", "10", "--patience", "300"]


def test_selectors_find_their_pods_and_no_others(rendered: dict[str, list[Manifest]]) -> None:
    for manifests in rendered.values():
        deployments = kinds(manifests, "Deployment")
        labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments]
        for deployment in deployments:
            wanted = deployment["spec"]["selector"]["matchLabels"].items()
            assert len([found for found in labels if wanted <= found.items()]) == 1
        for service in [*kinds(manifests, "Service"), *kinds(manifests, "PodDisruptionBudget")]:
            selector = service["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert [found for found in labels if wanted <= found.items()], service["metadata"]["name"]


def test_alerts_lead_to_the_runbooks_of_the_installation(rendered: dict[str, list[Manifest]]) -> None:
    [rule] = kinds(rendered["temporal-cloud"], "PrometheusRule")
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    there = yaml.safe_load((ROOT / "monitoring/rules/recoup.yml").read_text())
    assert len(alerts) == sum(len(group["rules"]) for group in there["groups"])
    for alert in alerts:
        assert (
            alert["annotations"]["runbook_url"]
            == f"https://wiki.example.com/recoup/runbooks/{alert['alert']}.md"
        )


def paths(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """Where the ingress leads to: services by host and path."""
    [ingress] = kinds(manifests, "Ingress")
    return {
        rule["host"]: {each["path"]: each["backend"]["service"]["name"] for each in rule["http"]["paths"]}
        for rule in ingress["spec"]["rules"]
    }


def test_the_codec_endpoint_is_where_the_console_is_unless_it_has_a_host(
    rendered: dict[str, list[Manifest]],
) -> None:
    with_codec = rendered["codec"]
    both = {"/codec": "recoup-codec", "/": "recoup-api"}
    assert paths(with_codec) == {"recoup.example.com": both}
    [deployed] = [
        each for each in kinds(with_codec, "Deployment") if each["metadata"]["name"] == "recoup-codec"
    ]
    [container] = deployed["spec"]["template"]["spec"]["containers"]
    keys = [each for each in container["env"] if each["name"] == "RECOUP_PAYLOAD_KEYS"]
    assert keys == [
        {
            "name": "RECOUP_PAYLOAD_KEYS",
            "valueFrom": {"secretKeyRef": {"name": "recoup", "key": "payload-keys"}},
        }
    ]
    policies = {each["metadata"]["name"]: each["spec"] for each in kinds(with_codec, "NetworkPolicy")}
    [reached] = policies["recoup-http"]["podSelector"]["matchExpressions"]
    assert reached["values"] == ["api", "codec"]

    values = yaml.safe_load((CHART / "examples" / "codec.yaml").read_text())
    host = {"host": "codec.internal.example.com", "tls": {"secretName": "codec-tls"}}
    values["codec"] |= {"ingress": host, "origins": ["https://a.example.com", "http://localhost:8080"]}
    [apart] = render(values)
    assert paths(apart) == {
        "recoup.example.com": {"/": "recoup-api"},
        "codec.internal.example.com": {"/codec": "recoup-codec"},
    }
    [ingress] = kinds(apart, "Ingress")
    assert ingress["spec"]["tls"][1] == {"hosts": [host["host"]], "secretName": "codec-tls"}
    assert "https://a.example.com,http://localhost:8080" in str(kinds(apart, "Deployment"))
    assert not [each for each in rendered["minimal"] if "codec" in each["metadata"]["name"]]


def changed(path: str, value: object) -> dict[str, Any]:
    """The least values with one of them changed: ``path`` with dots."""
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(MINIMAL))
    # So that an ingress is refused for what is wrong with it.
    values["trustedProxies"] = ["10.0.0.0/8"]
    *folders, name = path.split(".")
    inner = values
    for folder in folders:
        inner = inner.setdefault(folder, {})
    inner[name] = value
    return values


INGRESS = {"enabled": True, "host": "a.example.com", "tls": {"secretName": "a"}}
NONSENSE = {
    "no-tag": changed("image.tag", ""),
    "a-tag-that-moves": changed("image.tag", "latest"),
    "a-tag-that-is-no-version": changed("image.tag", "a b"),
    "half-a-digest": changed("image.digest", "sha256:123"),
    "no-address": changed("temporal.address", ""),
    "traces-to-nowhere": changed("tracing.enabled", True),
    "an-address-without-port": changed("temporal.address", "temporal"),
    "a-key-in-the-clear": changed("temporal.apiKey", {"name": "a", "key": "b"}),
    "a-secret-as-a-value": changed("secrets.jwt", "hunter2"),
    "a-secret-without-name": changed("secrets.jwt", {"name": ""}),
    "a-secret-in-settings": changed("settings", {"RECOUP_JWT_SECRET": "hunter2"}),
    "a-setting-that-is-none": changed("settings", {"PATH": "/"}),
    "a-secret-variable-in-the-clear": changed("extraEnv", [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]),
    "a-folder-as-storage": changed("storage.url", "file:///tmp"),
    "http-outside": changed("publicUrl", "http://recoup.example.com"),
    "no-replicas": changed("api.replicas", 0),
    "no-limits": changed("api.resources.limits", {"memory": None}),
    "a-queue-that-is-none": changed("workers.queues.emails", {}),
    "a-share-above-all": changed("rollout.percent", 101),
    "an-ingress-without-host": changed("ingress", {"enabled": True, "tls": {"secretName": "a"}}),
    "an-ingress-without-tls": changed("ingress", {"enabled": True, "host": "a.example.com"}),
    "an-ingress-whom-nobody-believes": {**changed("ingress", INGRESS), "trustedProxies": []},
    "everybody-a-proxy": changed("trustedProxies", ["*"]),
    "every-network-a-proxy": changed("trustedProxies", ["0.0.0.0/0"]),
    "a-proxy-by-name": changed("trustedProxies", ["ingress.svc"]),
    "any-origin-for-the-codec": changed("codec", {"enabled": True, "origins": ["*"]}),
    "a-codec-host-without-tls": changed(
        "codec", {"enabled": True, "origins": ["https://a.test"], "ingress": {"host": "a.example.com"}}
    ),
    "a-codec-for-nobody": changed("codec", {"enabled": True}),
    "a-payload-key-in-the-clear": changed("secrets.payloadKeys", "k1:QUFB"),
    "a-value-that-is-none": changed("replicaCount", 3),
    "the-version-drains-itself": changed("workers.draining", [{"tag": "0.1.0"}]),
    "a-version-twice": changed("workers.draining", [{"tag": "0.0.9"}, {"tag": "0.0.9", "replicas": 2}]),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(name: str) -> None:
    with pytest.raises(AssertionError, match=r"schema|workers\.draining|codec\.origins"):
        render(NONSENSE[name])


def test_an_ingress_that_is_whole_is_not_refused() -> None:
    [manifests] = render(changed("ingress", INGRESS))
    assert len(kinds(manifests, "Ingress")) == 1


def test_a_package_has_what_it_needs(tmp_path: Path) -> None:
    run(tool("python"), ROOT / "helm" / "pack.py", "--version", "1.2.3", "--to", tmp_path)
    [package] = tmp_path.iterdir()
    with tarfile.open(package) as packed:
        listed = set(packed.getnames())
    assert package.name == "recoup-1.2.3.tgz"
    assert {"recoup/files/rules/recoup.yml", "recoup/values.schema.json"} <= listed
