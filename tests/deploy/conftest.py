"""What is made once for all the checks: programs, an engine, the image. Nothing is kept for the next run."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from shutil import which

import pytest

from tests.deploy.engine import Engine, Image, an_engine, built
from tests.deploy.tools import debian_packages, run


@pytest.fixture(scope="session")
def npm_tool() -> Callable[[str], Path]:
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
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with ``prometheus`` and ``promtool``: the system's, else those of Debian's package."""
    installed = which("promtool")
    if installed and which("prometheus"):
        return Path(installed).parent
    folder = tmp_path_factory.mktemp("prometheus")
    debian_packages(folder, "prometheus")
    return folder / "usr" / "bin"


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[Engine]:
    """A container engine for as long as the checks last."""
    async with an_engine() as started:
        yield started


@pytest.fixture(scope="session")
def image(engine: Engine) -> Image:
    """The image, built of what is committed."""
    return built(engine)
