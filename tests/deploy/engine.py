"""A container engine for the checks: the one that runs, else Debian's, started as long as they last."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Child, Command
from tests.deploy.tools import ROOT, debian_packages, missing, run

OFFICIAL = bool(os.environ.get("RECOUP_OFFICIAL_IMAGES"))
"""Whether images come from a registry, as in CI; else stand-ins for them are built."""

BASE = "recoup-base"
BUILD_ID = "9.9.9"
_PACKAGES = ("docker.io", "containerd", "runc", "tini")
# The first suite of Debian that has the second version of compose, which knows today's compose files.
_SUITE_OF_COMPOSE = "trixie"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CONFIGURATION = ("/etc/pip.conf", "/usr/etc/npmrc", _CERTIFICATES)


@dataclass(frozen=True)
class Engine:
    """``docker`` at an engine, and a folder for what else is needed as long as it runs."""

    environment: dict[str, str]
    folder: Path

    def docker(self, *words: str | Path, timeout_s: float = 120, given: str | None = None) -> str:
        """Run a command that must end well."""
        return run("docker", *words, timeout_s=timeout_s, given=given, **self.environment)

    def answers(self) -> bool:
        """Whether there is an engine."""
        return self._knows("version")

    def compose(self) -> list[str]:
        """The words that begin a command of compose."""
        if self._knows("compose", "version"):
            return ["docker", "compose"]
        kept = self.folder / "compose"
        plugin = kept / "usr/libexec/docker/cli-plugins/docker-compose"
        if not plugin.exists():
            debian_packages(kept, "docker-compose", suite=_SUITE_OF_COMPOSE)
        return [str(plugin)]

    def _knows(self, *words: str) -> bool:
        docker = shutil.which("docker", path=self.environment["PATH"])
        environment = {**os.environ, **self.environment}
        asked = subprocess.run([str(docker), *words], env=environment, capture_output=True, check=False)
        return asked.returncode == 0


@dataclass(frozen=True)
class Image:
    """The product's image at an engine."""

    engine: Engine
    name: str
    base: str


@asynccontextmanager
async def an_engine() -> AsyncIterator[Engine]:
    """The engine that runs, or one of our own; a machine that can have neither does without."""
    with _a_folder() as folder:
        present = Engine({"PATH": os.environ["PATH"]}, folder)
        if shutil.which("docker") and present.answers():
            yield present
            return
        if os.geteuid() != 0:
            missing("no container engine runs, and none can be started without being root")
        debian_packages(folder / "debian", *_PACKAGES)
        async with _started(folder) as own:
            yield own


@contextmanager
def _a_folder() -> Iterator[Path]:
    """A folder that goes with all its images: a temporary one of pytest's would stay for three runs."""
    with tempfile.TemporaryDirectory(prefix="recoup-engine-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[Engine]:
    programs = folder / "debian/usr"
    path = f"{programs / 'sbin'}:{programs / 'bin'}:{os.environ['PATH']}"
    own = Engine({"PATH": path, "DOCKER_HOST": f"unix://{folder / 'docker.sock'}"}, folder)
    words = [str(programs / "sbin/dockerd"), "-H", own.environment["DOCKER_HOST"], "--bridge=none"]
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
        # The daemon leaves it mounted, and its folder could not go.
        kept = folder / "exec/netns/default"
        if kept.is_mount():
            run("umount", kept)


def built(engine: Engine) -> Image:
    """The image as CI builds it; where no registry is to be asked, on a stand-in for its base."""
    base = _official_base() if OFFICIAL else _stand_in_base(engine)
    context = engine.folder / "context"
    context.mkdir()
    run("git", "archive", "--output", engine.folder / "context.tar", "HEAD")
    run("tar", "--extract", "--file", engine.folder / "context.tar", "--directory", context)
    made = Image(engine, f"recoup:{BUILD_ID}", base)
    arguments = {"PYTHON_IMAGE": base, "BUILD_ID": BUILD_ID}
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    engine.docker("build", "--network", "host", *words, "--tag", made.name, context, timeout_s=900)
    return made


def _official_base() -> str:
    [declared] = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "PYTHON_IMAGE=" in line]
    return declared.partition("=")[2]


def _stand_in_base(engine: Engine) -> str:
    """An image that stands in for the official one of Python, which no registry gives here."""
    archive = engine.folder / "base.tar"
    copies = [
        f'--customize-hook=mkdir -p "$1{Path(path).parent}"; cp {path} "$1{path}"'
        for path in _CONFIGURATION
        if Path(path).exists()
    ]
    # As slim as the official one.
    unread = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/var/lib/apt/lists/*")
    left_out = [f"--dpkgopt=path-exclude={path}" for path in unread]
    path = os.environ["PATH"]
    if shutil.which("mmdebstrap") is None:
        debian_packages(engine.folder / "mmdebstrap", "mmdebstrap")
        # With its helpers, which it looks for there.
        path = f"{engine.folder / 'mmdebstrap/usr/bin'}:{path}"
    words = ["--variant=minbase", "--include=python3,python3-venv,ca-certificates", *left_out, *copies]
    run("mmdebstrap", *words, "bookworm", archive, timeout_s=400, PATH=path)
    names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT")
    variables = f"ENV {' '.join(f'{name}={_CERTIFICATES}' for name in names)}"
    engine.docker("import", "--change", variables, archive, BASE)
    archive.unlink()
    return BASE
