"""The programs that check what is deployed: those of .venv-deploy and of the system.

`make check-deploy` installs the first. What a machine cannot have is skipped there, and fails in CI.
"""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-deploy" / "bin"
CHART = ROOT / "helm" / "recoup"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))


def missing(what: str) -> NoReturn:
    """This machine lacks ``what``: a failure in CI, elsewhere a check less."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI may not do without")
    pytest.skip(what)


def run(
    *words: str | Path, cwd: Path = ROOT, timeout_s: float = 300, given: str | None = None, **environment: str
) -> str:
    """Run a command that must end well, with ``given`` on its standard input; its standard output."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(map(str, words))}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def tool(name: str) -> Path:
    """A program of .venv-deploy."""
    found = TOOLS / name
    if not found.exists():
        missing(f"{found} is not there; run `make check-deploy`")
    return found


def debian_packages(folder: Path, *names: str, suite: str | None = None) -> None:
    """Unpack packages into ``folder``, of this Debian or of another ``suite``; without them no check."""
    apt = shutil.which("apt-get")
    if apt is None:
        missing(f"Debian's packages {', '.join(names)} cannot be had without apt-get")
    downloads = folder / "packages"
    downloads.mkdir(parents=True)
    options = _lists_of(suite, folder) if suite else []
    download = [apt, *options, "download", *names]
    # The machine's own lists may do as they are.
    had = not suite and _ends_well(*download, cwd=downloads)
    if not had and not all(
        _ends_well(*words, cwd=downloads) for words in ([apt, *options, "update"], download)
    ):
        missing(f"Debian's packages {', '.join(names)} cannot be had")
    for package in downloads.glob("*.deb"):
        run("dpkg-deb", "--extract", package, folder)
    shutil.rmtree(downloads)


def _lists_of(suite: str, folder: Path) -> list[str]:
    """apt's options for lists of its own: the machine's stay what they are."""
    (folder / "apt" / "lists" / "partial").mkdir(parents=True)
    sources = folder / "apt" / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={keys}] {_mirror()} {suite} main\n")
    chosen = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "apt" / "lists",
        "Dir::Cache": folder / "apt",
    }
    return [word for name, value in chosen.items() for word in ("--option", f"{name}={value}")]


def _mirror() -> str:
    """Where this machine has its Debian from; other suites are there, too."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME")
    wanted = ("--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Component: main")
    for line in run("apt-get", "indextargets", *wanted).splitlines():
        address, suite = line.split()
        if suite == own:
            return address
    missing("apt's sources name no mirror of this machine's own Debian")


def _ends_well(*words: str, cwd: Path) -> bool:
    return subprocess.run(words, cwd=cwd, capture_output=True, timeout=200, check=False).returncode == 0


def render(*values: Any) -> list[list[dict[str, Any]]]:
    """For each of ``values`` the manifests that the chart makes of it, as an install in a cluster would.

    Raises ``AssertionError`` with helm's words when it refuses.
    """
    words = [str(tool("python")), str(Path(__file__).parent / "render_chart.py"), str(CHART)]
    ended = subprocess.run(
        words, input=json.dumps(values), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rendered: list[list[dict[str, Any]]] = json.loads(ended.stdout)
    return rendered
