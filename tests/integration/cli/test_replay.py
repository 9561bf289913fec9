"""``recoup replay``: of recorded histories, and of the newest ones of a live namespace."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.exports import ExportRef
from activities.figures import FiguresRequest, RefreshedFigures
from sandbox.temporal import TemporalServer
from tests.command_line import CommandLine
from tests.conftest import TemporaryDatabase
from workers import rollout
from workers.deployment import DEPLOYMENT
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS
from workflows import queues

HISTORIES = Path(__file__).parents[2] / "replay" / "histories"
OWN, EARLIER = "2.0", "1.0"
AGENCY = UUID(int=1)


@activity.defn(name="figures.refresh")
async def refresh(request: FiguresRequest) -> RefreshedFigures:
    return RefreshedFigures(as_of=None)


@workflow.defn(name="Export", sandboxed=False, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class OtherExport:
    """Begins with another step than ours."""

    @workflow.run
    async def run(self, ref: ExportRef) -> None:
        await workflow.sleep(3600)


@workflow.defn(name="FiguresRefresh", sandboxed=False, versioning_behavior=VersioningBehavior.PINNED)
class OtherFigures:
    """Takes no step where ours takes one, and stays with its version."""

    @workflow.run
    async def run(self, request: FiguresRequest) -> None:
        return None


@asynccontextmanager
async def working(client: Client, build_id: str, *workflows: type) -> AsyncIterator[None]:
    version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id)
    served = {queues.LIFECYCLE: (workflows, []), queues.BULK: ((), [refresh])}
    async with AsyncExitStack() as stack:
        for queue, (definitions, activities) in served.items():
            worker = Worker(
                client,
                task_queue=queue,
                workflows=definitions,
                activities=activities,
                workflow_runner=workflow_runner(),
                deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=True),
            )
            await stack.enter_async_context(worker)
        await rollout.promote(client, build_id, timedelta(seconds=30))
        yield


async def counted(client: Client) -> WorkflowHandle[Any, Any]:
    request = FiguresRequest(agency_id=AGENCY)
    handle = await client.start_workflow(
        "FiguresRefresh", request, id=f"figures/{uuid4()}", task_queue=queues.LIFECYCLE
    )
    await handle.result()
    return handle


def _cut(first: int, end: int, without: int | None = None) -> str:
    """A recorded history of which only these events are left."""
    history = json.loads((HISTORIES / "export-kept.json").read_text())
    history["events"] = [
        event for number, event in enumerate(history["events"][first:end], first) if number != without
    ]
    return json.dumps(history)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def settings(temporal_server: TemporalServer, temporal_namespace: str) -> dict[str, str]:
    return {
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_namespace,
        "RECOUP_BUILD_ID": OWN,
    }


async def test_recorded_histories_replay(command_line: CommandLine) -> None:
    files = sorted(str(path) for path in HISTORIES.glob("export-*.json"))
    code, out, _ = await command_line.run("replay", *files)
    assert (code, "3 histories replayed" in out) == (0, True)
    code, out, _ = await command_line.run("replay", str(HISTORIES), "--json")
    report = json.loads(out)
    assert (code, report["histories"], report["differing"]) == (0, len(names_in(HISTORIES)), [])


async def test_other_steps_are_told_with_workflow_run_and_reason(
    command_line: CommandLine, tmp_path: Path
) -> None:
    text = (HISTORIES / "export-kept.json").read_text().replace('"exports.write"', '"exports.prepare"')
    started = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "changed.json").write_text(text)
    code, out, _ = await command_line.run("replay", str(tmp_path))
    assert code == 1
    for told in ("Export", started["workflowId"], started["originalExecutionRunId"], "exports.prepare"):
        assert told in out
    code, out, _ = await command_line.run("replay", str(tmp_path), "--json")
    [differing] = json.loads(out)["differing"]
    assert (code, differing["outcome"], differing["workflow_id"]) == (
        1,
        "nondeterministic",
        started["workflowId"],
    )


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        pytest.param(None, ["here"], "there is no recorded history", id="absent"),
        pytest.param("{}", ["h.json"], "not the history of a workflow", id="not a history"),
        pytest.param("nonsense", ["h.json"], "not the history of a workflow", id="not JSON"),
        pytest.param("[" * 100_000, ["h.json"], "not the history of a workflow", id="nested without end"),
        pytest.param(
            '{"events": [{"workflowExecutionStartedEventAttributes": []}]}',
            ["h.json"],
            "not the history of a workflow",
            id="a list for an object",
        ),
        pytest.param(_cut(0, 1), ["h.json"], "not a whole history", id="begun by nobody"),
        pytest.param(_cut(0, 3, without=1), ["h.json"], "not a whole history", id="a gap"),
        pytest.param(None, ["."], "there is no recorded history", id="an empty folder"),
        pytest.param(None, [], "--from-server", id="nothing named"),
        pytest.param("{}", ["h.json", "--save", "x"], "--from-server", id="saving what is recorded"),
    ],
)
async def test_what_cannot_be_replayed_is_said(
    command_line: CommandLine, tmp_path: Path, content: str | None, words: list[str], said: str
) -> None:
    if content is not None:
        (tmp_path / "h.json").write_text(content)
    code, _, err = await command_line.run("replay", *words, cwd=tmp_path)
    assert code in {1, 2}
    assert said in err


async def test_the_newest_histories_of_a_namespace(
    command_line: CommandLine, temporal_client: Client, settings: dict[str, str], tmp_path: Path
) -> None:
    client = temporal_client
    code, out, _ = await command_line.run("replay", "--from-server", **settings)
    assert (code, "0 histories" in out) == (0, True)
    async with working(client, OWN, *WORKFLOWS):
        mine = [await counted(client) for _ in range(3)]
    code, out, _ = await command_line.run(
        "replay", "--from-server", "--newest", "2", "--save", str(tmp_path), "--json", **settings
    )
    report = json.loads(out)
    assert (code, report["histories"], report["replayed"]) == (0, 2, 2)
    assert names_in(tmp_path) == {
        f"figures-refresh-{handle.first_execution_run_id}.json" for handle in mine[1:]
    }
    code, out, _ = await command_line.run("replay", str(tmp_path))
    assert (code, "2 histories replayed" in out) == (0, True)

    async with working(client, EARLIER, OtherExport, OtherFigures):
        pinned = await counted(client)
        ref = ExportRef(agency_id=AGENCY, export_id=UUID(int=2))
        entity = await client.start_workflow("Export", ref, id="export/2", task_queue=queues.LIFECYCLE)
        # Answered by the worker only after the first step was taken.
        await entity.query("__stack_trace")
    code, out, _ = await command_line.run("replay", "--from-server", "--json", **settings)
    assert code == 1
    report = json.loads(out)
    assert (report["replayed"], report["pinned"], report["nondeterministic"]) == (3, 1, 1)
    told = {one["workflow_id"]: (one["outcome"], one["pinned_to"]) for one in report["differing"]}
    assert told == {pinned.id: ("pinned", EARLIER), "export/2": ("nondeterministic", None)}
    only = ["--workflow", "FiguresRefresh"]
    code, out, _ = await command_line.run("replay", "--from-server", *only, **settings)
    assert (code, f"goes on with {EARLIER}" in out) == (0, True)
    # What is pinned to this very version counts.
    same = {**settings, "RECOUP_BUILD_ID": EARLIER}
    code, out, _ = await command_line.run("replay", "--from-server", *only, **same)
    assert (code, pinned.id in out) == (1, True)
    check = ["rollout", "check", "--served", f"{EARLIER},{OWN}"]
    code, _, err = await command_line.run(*check, "--replay", "5", **settings)
    assert (code, "Export export/2 run" in err, pinned.id in err) == (1, True, False)
    code, _, _ = await command_line.run(*check, **settings)
    assert code == 0
    await entity.terminate()
    code, _, err = await command_line.run(*check, "--replay", "5", **settings)
    assert (code, err) == (0, "")
    code, _, _ = await command_line.run(
        "replay", "--from-server", "--query", 'ExecutionStatus="Running"', **settings
    )
    assert code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workflow", "Exprt"], "there are no workflows Exprt; there are AccountLifecycle"),
        (["--query", "Nonsense = 1"], "does not take the query Nonsense = 1"),
    ],
)
async def test_what_the_server_cannot_find_is_said(
    command_line: CommandLine, settings: dict[str, str], words: list[str], said: str
) -> None:
    code, _, err = await command_line.run("replay", "--from-server", *words, **settings)
    assert (code, said in err) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "--from-server"),
        ("schedules", "list"),
        ("schedules", "apply"),
        ("rollout", "status"),
        ("rollout", "check", "--served", "1"),
    ],
    ids=" ".join,
)
async def test_a_namespace_that_is_not_there_is_named_with_its_setting(
    command_line: CommandLine, settings: dict[str, str], database: TemporaryDatabase, command: tuple[str, ...]
) -> None:
    elsewhere = {**settings, "RECOUP_TEMPORAL_NAMESPACE": "nowhere", "RECOUP_DATABASE_URL": database.app_url}
    code, _, err = await command_line.run(*command, **elsewhere)
    assert (code, "nowhere is not found; set RECOUP_TEMPORAL_NAMESPACE" in err) == (1, True), err
