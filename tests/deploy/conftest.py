"""The tools that check what is deployed: those of .venv-deploy, of npm and of the system.

`make check-deploy` installs the first. What a machine cannot have is skipped there, and fails in CI.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-deploy" / "bin"
CHART = ROOT / "helm" / "recoup"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))

Run = Callable[..., str]


def missing(what: str) -> NoReturn:
    """This machine lacks ``what``: a failure in CI, elsewhere a check less."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI may not do without")
    pytest.skip(what)


def run(*words: str | Path, cwd: Path = ROOT, timeout_s: float = 300, **environment: str) -> str:
    """Run a command that must end well; its standard output."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **environment},
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


@pytest.fixture(scope="session")
def npm_tool(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Programs of the locked npm packages beside this file, installed once."""
    folder = Path(__file__).parent
    npm = Path(sys.executable).parent / "npm"

    def find(name: str) -> Path:
        program = folder / "node_modules" / ".bin" / name
        if not program.exists():
            run(npm if npm.exists() else "npm", "ci", "--silent", cwd=folder)
        return program

    return find


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with ``prometheus`` and ``promtool``: the system's, else those of Debian's package."""
    installed = shutil.which("promtool"), shutil.which("prometheus")
    if all(installed):
        yield Path(str(installed[0])).parent
        return
    kept = ROOT / ".venv-deploy" / "prometheus"
    if not (kept / "usr/bin/promtool").exists():
        _unpack(kept, tmp_path_factory.mktemp("prometheus"))
    yield kept / "usr" / "bin"


def _unpack(kept: Path, folder: Path) -> None:
    if shutil.which("apt-get") is None:
        missing("there is neither promtool nor a Debian package of it")

    apt = str(shutil.which("apt-get"))
    for words in ([apt, "download", "prometheus"], [apt, "update"], [apt, "download", "prometheus"]):
        ended = subprocess.run(words, cwd=folder, capture_output=True, timeout=120, check=False)
        if ended.returncode == 0 and "download" in words:
            break
    else:
        missing("Debian's package prometheus cannot be had")
    [package] = folder.glob("prometheus_*.deb")
    run("dpkg-deb", "--extract", package, kept)
