"""The release before this one, out of the repository's own history: its code, and workers that run it."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from sandbox.ports import free_port
from sandbox.processes import Child, Command

REPOSITORY = Path(__file__).parents[3]
PINNED = Path(__file__).with_name("previous_release.txt")
"""The commit that counts as the release before, for as long as no tag of a version is there."""

PACKAGES = ("domain", "workflows", "activities", "db", "gateways", "services", "workers", "cli", "runtime")
START_S = 60
_WHERE = (
    "import sys; from importlib import import_module as i; [print(i(n).__path__[0]) for n in sys.argv[1:]]"
)


def previous_release(folder: Path) -> Path:
    """Unpack the code of the latest tag ``v*`` before this commit, else of the pinned commit.

    Where the history is not there (a shallow clone, a source archive), skips the test with the reason; where
    ``RECOUP_HISTORY_REQUIRED`` says that it has to be, as in GitHub Actions, fails.
    """
    try:
        wanted = _latest_tag() or PINNED.read_text().strip()
        packed = _git("archive", wanted)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode().strip() or str(error)
        reason = f"the release before is not in this clone (fetch the whole history, with its tags): {said}"
        if os.environ.get("RECOUP_HISTORY_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _latest_tag() -> str | None:
    """The latest version that this commit has behind it, but is not."""
    tags = _git("tag", "--list", "v*", "--sort=-v:refname", "--merged", "HEAD").decode().split()
    here = set(_git("tag", "--points-at", "HEAD").decode().split())
    return next((tag for tag in tags if tag not in here), None)


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=REPOSITORY, check=True, capture_output=True).stdout  # noqa: S607


class WorkerProcess:
    """``recoup worker`` of the code in a folder, as it runs in production."""

    def __init__(self, code: Path, build_id: str, settings: Mapping[str, str], log: Path) -> None:
        self.code = code
        self.build_id = build_id
        self._port = free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RECOUP_")}
        chosen = {
            "PYTHONPATH": str(code),
            "RECOUP_BUILD_ID": build_id,
            "RECOUP_WORKER_HEALTH_PORT": str(self._port),
        }
        self._environment = {**kept, **settings, **chosen}
        words = [sys.executable, "-m", "cli.main", "worker"]
        self._child = Child(build_id, Command(words, cwd=code, environment=self._environment), log)

    async def start(self) -> None:
        """Start it, and wait until it serves its queues. It runs the code of its folder, and no other."""
        self._runs_its_own_code()
        await self._child.start()
        await self._child.until(self._ready, within_s=START_S)

    async def stop(self) -> None:
        """Let it finish what is at hand."""
        await self._child.stop(grace_s=20)

    def _runs_its_own_code(self) -> None:
        # The environment has this repository installed, too.
        found = subprocess.run(
            [sys.executable, "-c", _WHERE, *PACKAGES],
            cwd=self.code,
            env=self._environment,
            check=True,
            capture_output=True,
        ).stdout.decode()
        places = found.splitlines()
        assert len(places) == len(PACKAGES)
        assert all(Path(place).is_relative_to(self.code) for place in places), found

    async def _ready(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self._port}/health/ready")
            except httpx.HTTPError:
                return False
        return answer.status_code == httpx.codes.OK
