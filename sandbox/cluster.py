"""The data folder of PostgreSQL: made whole or not at all, by and for a user who is not root."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil

from sandbox.child import WAYS
from sandbox.errors import SandboxError
from sandbox.processes import Command, Drop

_NOBODY = 65534
_PARALLEL_QUERY_BYTES = 256 << 20
_INITDB_S = 120


def processes_in(data: Path) -> list[psutil.Process]:
    """The server processes that work in the folder: each has it as its current one."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"] == "postgres" and process.cwd() == str(data):
                found.append(process)
    return found


def shared_memory() -> dict[str, str]:
    """Settings for a container whose /dev/shm is too small for parallel queries (64 MB by default)."""
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108 - asked for its size, nothing is written
    except OSError:
        return {}
    small = space.f_frsize * space.f_blocks < _PARALLEL_QUERY_BYTES
    return {"dynamic_shared_memory_type": "mmap"} if small else {}


def require_same_major(data: Path, major: int) -> None:
    """Check that the binaries can read the folder. Raises ``SandboxError`` with the way out."""
    if not data.exists() or not any(data.iterdir()):
        return
    if os.geteuid() != 0 and data.stat().st_uid != os.geteuid():
        owner = data.stat().st_uid
        raise SandboxError(
            f"the data folder {data} belongs to another user (uid {owner}): start as that user, "
            "or set RECOUP_HOME to another folder"
        )
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise SandboxError(
            f"the folder {data} holds something else than PostgreSQL data: move it away, "
            "or set RECOUP_HOME to another folder"
        ) from None
    if found != str(major):
        raise SandboxError(
            f"the data folder {data} was made by PostgreSQL {found}, this is {major}: "
            f"move it away to start afresh, or keep it and set RECOUP_POSTGRES_BIN to PostgreSQL {found}"
        )


def choose_drop(data: Path, binaries: Path) -> Drop | None:
    """The least privilege with which the server can run here; None when this is not root anyway.

    Each way is tried for real, since kernels and containers allow different ones. A folder that an
    ordinary user made stays that user's.
    """
    if os.geteuid() != 0:
        return None
    data.parent.mkdir(parents=True, exist_ok=True)
    uid, gid = _ordinary_user(data)
    # The server looks for its own program with access(2), so a look at its version tries that too.
    probe = ["/bin/sh", "-c", 'test -x "$1" && "$0" --version', str(binaries / "postgres"), str(data.parent)]
    for way in WAYS:
        drop = Drop(way, 0, 0) if way == "namespace" else Drop(way, uid, gid)
        tried = subprocess.run(  # noqa: S603
            Command(probe, drop=drop).launched(), cwd="/", capture_output=True, check=False
        )
        if tried.returncode == 0 and not tried.stderr:
            return drop
    raise SandboxError(
        "PostgreSQL does not run as root, and root cannot become another user here: start as an ordinary user"
    )


def prepare(data: Path, binaries: Path, drop: Drop | None) -> None:
    """Make the data folder unless it is there, and give it to the user that the server runs as."""
    data.parent.mkdir(parents=True, exist_ok=True)
    for leftover in data.parent.glob(f".{data.name}.new-*"):
        shutil.rmtree(leftover)
    if not data.exists() or not any(data.iterdir()):
        _initdb(data, binaries, drop)
    if drop and data.stat().st_uid != drop.uid:
        _give(data, drop)


def _initdb(data: Path, binaries: Path, drop: Drop | None) -> None:
    """Fill a folder beside the final one, then rename: a kill in between leaves no half-made cluster."""
    new = Path(tempfile.mkdtemp(prefix=f".{data.name}.new-", dir=data.parent))
    if drop:
        os.chown(new, drop.uid, drop.gid)
    words = [str(binaries / "initdb"), "-D", str(new), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    words += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"]
    made = subprocess.run(  # noqa: S603
        Command(words, drop=drop).launched(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_INITDB_S,
    )
    if made.returncode != 0:
        shutil.rmtree(new)
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SandboxError(f"cannot make the data folder {data}: {reason}")
    if data.exists():
        data.rmdir()
    new.rename(data)


def _give(folder: Path, drop: Drop) -> None:
    os.chown(folder, drop.uid, drop.gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, drop.uid, drop.gid, follow_symlinks=False)


def _ordinary_user(data: Path) -> tuple[int, int]:
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY, _NOBODY
    return user.pw_uid, user.pw_gid
