"""One command holds the whole sandbox: started in order, watched, and gone with it however it ends."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from sandbox.ports import free_ports
from sandbox.processes import alive, ended, tail, until

SCRIPT = Path(__file__).with_name("run_sandbox.py")
VARIABLES = ("POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "SFTP_PORT", "STRIPE_PORT", "API_PORT")
SLEEPER = "worker:exec sleep 1000"
STUBBORN = "worker:trap '' TERM; echo trapped; while :; do sleep 1; done"


class Sandbox:
    """A supervisor in a process of its own, with folder and ports that outlast it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = dict(zip(VARIABLES, free_ports(len(VARIABLES)), strict=True))
        self.environment = {
            **os.environ,
            "RECOUP_HOME": str(home),
            **{f"RECOUP_{name}": str(port) for name, port in self.ports.items()},
        }
        self.output: list[str] = []
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The supervisor's process."""
        assert self._process is not None
        return self._process

    async def start(self, *arguments: str) -> None:
        """Start the supervisor."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def says(self, words: str) -> None:
        """Wait for a line with these words."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output.append(line.decode().rstrip())
            if words in self.output[-1]:
                return
        pytest.fail(f"ended without saying {words!r}:\n" + "\n".join(self.output))

    async def ends(self) -> int:
        """Wait for the end, keep the output, and give the exit code."""
        out, _ = await self.process.communicate()
        self.output += out.decode().splitlines()
        return await self.process.wait()

    def descendants(self) -> list[psutil.Process]:
        """Every process that it or a child of it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        """The one child with these words in its command line."""
        (found,) = [p for p in psutil.Process(self.process.pid).children() if words in " ".join(p.cmdline())]
        return found

    def remembered(self) -> list[list[float]]:
        """The processes that it wrote down: pids and times."""
        file = self.home / "children.json"
        return list(json.loads(file.read_text())) if file.exists() else []

    def remember(self, processes: Sequence[Sequence[float]]) -> None:
        """Write other processes down for the next start."""
        (self.home / "children.json").write_text(json.dumps(processes))

    def logged(self, name: str, words: str) -> Callable[[], Awaitable[bool]]:
        """A condition: the child's log holds these words."""

        async def holds() -> bool:
            return words in tail(self.home / "logs" / f"{name}.log")

        return holds

    def starts(self) -> int:
        """How often it was started, as its database remembers."""
        with psycopg.connect(
            f"postgresql://postgres@127.0.0.1:{self.ports['POSTGRES_PORT']}/recoup"
        ) as connection:
            row = connection.execute("SELECT count(*) FROM start").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that no test leaves running."""
    made = Sandbox(tmp_path / "home")
    yield made
    if made.process.returncode is None:
        made.process.kill()
        await made.ends()


async def test_stops_all_on_a_signal_and_finds_its_data_again(sandbox: Sandbox) -> None:
    began = time.monotonic()
    await sandbox.start("--app", SLEEPER)
    await sandbox.says("ready ssh-ed25519")
    first = time.monotonic() - began
    started = sandbox.descendants()
    assert {"postgres", "temporal"} <= {process.name() for process in started}

    sandbox.process.send_signal(signal.SIGINT)
    assert await sandbox.ends() == 0
    assert not any(alive(process) for process in started)

    began = time.monotonic()
    await sandbox.start("--app", SLEEPER)
    await sandbox.says("ready")
    assert sandbox.starts() == 2
    # No figure of merit: a start that makes its data again, or waits for a lock, takes far longer.
    assert time.monotonic() - began < max(30, 2 * first)
    sandbox.process.send_signal(signal.SIGTERM)
    assert await sandbox.ends() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_killed_supervisor_leaves_no_process(sandbox: Sandbox) -> None:
    await sandbox.start("--app", STUBBORN)
    await sandbox.says("ready")
    started = sandbox.descendants()

    sandbox.process.kill()
    await sandbox.ends()

    # Of the stubborn shell's own child nobody is told; it ends by itself within its second.
    assert await ended(started, within_s=60) == []


async def test_the_start_after_a_kill_is_clean_and_finds_its_data(sandbox: Sandbox) -> None:
    await sandbox.start("--app", SLEEPER)
    await sandbox.says("ready")
    # A process that nothing tells of its parent's death, as on other systems than Linux.
    stray = await asyncio.create_subprocess_exec("sleep", "1000")
    known = sandbox.remembered()
    sandbox.process.kill()
    await sandbox.process.wait()
    # This process has one of the pids as well, but is younger.
    sandbox.remember([*known, [stray.pid, psutil.Process(stray.pid).create_time()], [os.getpid(), 0.0]])

    await sandbox.start("--app", SLEEPER)
    await sandbox.says("ready")

    assert sandbox.starts() == 2
    assert await stray.wait() == -signal.SIGTERM
    sandbox.process.send_signal(signal.SIGINT)
    assert await sandbox.ends() == 0


async def test_a_demo_ends_by_itself(sandbox: Sandbox) -> None:
    await sandbox.start("--demo", "--app", SLEEPER)

    assert await sandbox.ends() == 0
    assert "ready ssh-ed25519" in sandbox.output
    assert sandbox.remembered() == []


async def test_a_server_that_ends_takes_all_down(sandbox: Sandbox) -> None:
    await sandbox.start("--app", SLEEPER)
    await sandbox.says("ready")
    started = sandbox.descendants()

    sandbox.child("sandbox.sftp").kill()

    assert await sandbox.ends() == 1
    log = sandbox.home / "logs" / "sftp.log"
    assert any(line.startswith(f"SFTP was ended by SIGKILL; the end of {log}") for line in sandbox.output)
    assert not any(alive(process) for process in started)


async def test_a_server_that_ends_during_the_show_takes_all_down(sandbox: Sandbox) -> None:
    await sandbox.start("--show", str(sandbox.home / "never"))
    await sandbox.says("showing")

    sandbox.child("start-dev").kill()

    assert await sandbox.ends() == 1
    assert not any(line.startswith("ready") for line in sandbox.output)


async def test_an_app_comes_back_a_few_times_only(sandbox: Sandbox) -> None:
    await sandbox.start("--app", "worker:echo last words; exit 7")

    assert await sandbox.ends() == 1
    again = [line for line in sandbox.output if "starting it again" in line]
    assert [line.partition("(")[2] for line in again] == ["1 of 3)", "2 of 3)", "3 of 3)"]
    assert any("worker ended with exit code 7" in line for line in sandbox.output)
    assert sandbox.output[-1] == "last words"


async def test_a_failing_show_stops_all_and_is_raised(sandbox: Sandbox) -> None:
    await sandbox.start("--fail")
    await sandbox.says("showing")
    started = sandbox.descendants()

    assert await sandbox.ends() == 1
    assert "ValueError: the show failed" in sandbox.output
    assert not any(alive(process) for process in started)


async def test_an_interrupted_show_stops_all_and_says_so(sandbox: Sandbox) -> None:
    await sandbox.start("--show", str(sandbox.home / "never"))
    await sandbox.says("showing")
    started = sandbox.descendants()

    sandbox.process.send_signal(signal.SIGINT)

    assert await sandbox.ends() == 130
    assert not any(alive(process) for process in started)


async def test_an_interrupted_start_leaves_nothing(sandbox: Sandbox) -> None:
    await sandbox.start("--app", SLEEPER)
    await sandbox.says("PostgreSQL")
    started = sandbox.descendants()

    sandbox.process.send_signal(signal.SIGINT)

    assert await sandbox.ends() == 130
    assert not any(alive(process) for process in started)


async def test_a_second_signal_ends_what_does_not_want_to(sandbox: Sandbox) -> None:
    # It would be waited for longer than this test may take.
    await sandbox.start("--app", STUBBORN, "--grace", "600")
    await sandbox.says("ready")
    stubborn = sandbox.child("trap")
    await until(sandbox.logged("worker", "trapped"), within_s=60, what="the trap")

    sandbox.process.send_signal(signal.SIGINT)
    await sandbox.says("once more")
    assert alive(stubborn)
    sandbox.process.send_signal(signal.SIGINT)

    assert await sandbox.ends() == 0
    assert not alive(stubborn)


async def test_one_sandbox_per_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.start()
    await sandbox.says("ready")
    second = Sandbox(sandbox.home)

    await second.start()

    assert await second.ends() == 1
    assert len(second.output) == 1
    assert f"another sandbox runs in {sandbox.home} (pid {sandbox.process.pid})" in second.output[0]
    assert "RECOUP_HOME" in second.output[0]


async def test_every_busy_port_gets_a_line(sandbox: Sandbox) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", sandbox.ports["POSTGRES_PORT"]))),
        closing(socket.create_server(("127.0.0.1", sandbox.ports["API_PORT"]))),
    ):
        await sandbox.start()
        assert await sandbox.ends() == 1

    assert len(sandbox.output) == 2
    assert "RECOUP_POSTGRES_PORT" in sandbox.output[0]
    assert "RECOUP_API_PORT" in sandbox.output[1]
    assert all(f"pid {os.getpid()}" in line for line in sandbox.output)
    assert not (sandbox.home / "postgres").exists()


def mistake(change: Callable[[Sandbox], object], words: str) -> tuple[Callable[[Sandbox], object], str]:
    return change, words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        mistake(
            lambda s: s.environment.update(RECOUP_SFTP_PORT=s.environment["RECOUP_API_PORT"]),
            "set RECOUP_API_PORT or RECOUP_SFTP_PORT to another port",
        ),
        mistake(
            lambda s: s.environment.update(RECOUP_POSTGRES_BIN="/nowhere"),
            "there is no program postgres in /nowhere: set RECOUP_POSTGRES_BIN",
        ),
        mistake(
            lambda s: s.environment.update(
                RECOUP_ENV="production",
                RECOUP_JWT_SECRET="x" * 40,
                RECOUP_COLUMN_KEYS="a:" + "QUFB" * 10 + "QUE=",
                RECOUP_PAYLOAD_KEYS="b:" + "QkJC" * 10 + "QkI=",
                RECOUP_DATABASE_URL="postgresql://recoup_app@127.0.0.1/recoup",
                RECOUP_TEMPORAL_ADDRESS="127.0.0.1:7233",
                RECOUP_STORAGE_URL="file:///tmp",
                RECOUP_PUBLIC_URL="https://recoup.test",
            ),
            "the sandbox is for development only",
        ),
    ],
)
async def test_mistakes_get_one_clear_line(
    sandbox: Sandbox, change: Callable[[Sandbox], object], words: str
) -> None:
    change(sandbox)
    await sandbox.start()

    assert await sandbox.ends() == 1
    told = [line for line in sandbox.output if not line.startswith("✓")]
    assert len(told) == 1
    assert words in told[0]


async def test_data_of_another_major_gets_one_clear_line(sandbox: Sandbox) -> None:
    (sandbox.home / "postgres").mkdir(parents=True)
    (sandbox.home / "postgres" / "PG_VERSION").write_text("16\n")
    await sandbox.start()

    assert await sandbox.ends() == 1
    (told,) = [line for line in sandbox.output if not line.startswith("✓")]
    assert "was made by PostgreSQL 16, this is 18" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_of_another_user_gets_one_clear_line(sandbox: Sandbox) -> None:
    sandbox.home.mkdir(mode=0o555)
    await sandbox.start()

    assert await sandbox.ends() == 1
    assert "this user may not write to" in sandbox.output[0]
