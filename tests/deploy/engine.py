"""A container engine for the checks: the one that runs, else Debian's, started as long as they last."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Child, Command
from tests.deploy.conftest import ROOT, missing, run

PACKAGES = ("docker.io", "containerd", "runc", "tini", "mmdebstrap")
KEPT = ROOT / ".venv-deploy" / "engine"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CONFIGURATION = ("/etc/pip.conf", "/usr/etc/npmrc", _CERTIFICATES)


@dataclass(frozen=True)
class Engine:
    """``docker`` at an engine."""

    environment: dict[str, str]

    def docker(self, *words: str | Path, timeout_s: float = 120) -> str:
        """Run a command that must end well."""
        return run("docker", *words, timeout_s=timeout_s, **self.environment)

    def answers(self) -> bool:
        """Whether there is an engine."""
        words = [str(shutil.which("docker", path=self.environment["PATH"])), "version"]
        environment = {**os.environ, **self.environment}
        return subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0


@asynccontextmanager
async def an_engine(folder: Path) -> AsyncIterator[Engine]:
    """The engine that runs, or one of our own; a machine that can have neither does without."""
    path = f"{KEPT / 'usr/sbin'}:{KEPT / 'usr/bin'}:{os.environ['PATH']}"
    present = Engine({"PATH": path})
    if shutil.which("docker") and present.answers():
        yield present
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        missing("no container engine runs, and none can be started without root and Debian's packages")
    _unpack(folder)
    own = Engine({"PATH": path, "DOCKER_HOST": f"unix://{folder / 'docker.sock'}"})
    words = [str(KEPT / "usr/sbin/dockerd"), "-H", own.environment["DOCKER_HOST"], "--bridge=none"]
    words += ["--iptables=false", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    words += ["--pidfile", str(folder / "dockerd.pid")]
    environment = {**os.environ, **own.environment}
    daemon = Child("dockerd", Command(words, environment=environment), folder / "dockerd.log")

    async def answers() -> bool:
        return own.answers()

    await daemon.start()
    try:
        await daemon.until(answers, within_s=60)
        yield own
    finally:
        await daemon.stop(grace_s=30)


def _unpack(folder: Path) -> None:
    if (KEPT / "usr/sbin/dockerd").exists():
        return
    apt = str(shutil.which("apt-get"))
    words = [apt, "download", *PACKAGES]
    if subprocess.run(words, cwd=folder, capture_output=True, timeout=200, check=False).returncode != 0:
        missing("Debian's docker.io cannot be had")
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "--extract", package, KEPT)


def stand_in(engine: Engine) -> str:
    """The name of an image that stands in for the official one of Python, which no registry gives here."""
    archive = KEPT / "base.tar"
    if not archive.exists():
        copies = [
            f'--customize-hook=mkdir -p "$1{Path(path).parent}"; cp {path} "$1{path}"'
            for path in _CONFIGURATION
            if Path(path).exists()
        ]
        words = ["--variant=minbase", "--include=python3,python3-venv,ca-certificates", *copies]
        run("mmdebstrap", *words, "bookworm", archive, timeout_s=400, **engine.environment)
    names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT")
    engine.docker(
        "import",
        "--change",
        f"ENV {' '.join(f'{name}={_CERTIFICATES}' for name in names)}",
        archive,
        "recoup-base",
    )
    return "recoup-base"
