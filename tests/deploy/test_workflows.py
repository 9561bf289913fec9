"""GitHub Actions, weak code and secrets: by the tools that CI uses, as far as they need no network."""

import pytest

from tests.deploy.tools import ROOT, run, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_workflows_are_workflows() -> None:
    run(tool("actionlint"), *WORKFLOWS)


def test_workflows_can_be_trusted() -> None:
    run(tool("zizmor"), "--offline", "--persona", "auditor", ROOT / ".github")


@pytest.mark.timeout(300)
def test_no_code_is_weak() -> None:
    how = ("--quiet", "--recursive", "--configfile", "pyproject.toml", "--severity-level", "medium")
    run(tool("bandit"), *how, ".")


@pytest.mark.timeout(300)
def test_no_secret_is_in_the_repository() -> None:
    run(tool("detect-secrets-hook"), "--baseline", ".secrets.baseline", *run("git", "ls-files").split())
