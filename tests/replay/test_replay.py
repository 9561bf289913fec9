"""Recorded histories replay with today's workflows: a change that would break a running one fails here."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from runtime.temporal import DATA_CONVERTER
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS

HISTORIES = {path.stem: path.read_text() for path in Path(__file__).parent.glob("histories/*.json")}


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=DATA_CONVERTER)


def history_of(text: str) -> WorkflowHistory:
    started = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], text)


@pytest.mark.parametrize("name", sorted(HISTORIES))
async def test_a_recorded_history_replays(replayer: Replayer, name: str) -> None:
    await replayer.replay_workflow(history_of(HISTORIES[name]))


def test_there_is_a_history_of_every_workflow() -> None:
    events = [json.loads(text)["events"][0] for text in HISTORIES.values()]
    started = {e["workflowExecutionStartedEventAttributes"]["workflowType"]["name"] for e in events}
    assert started == {workflow.__name__ for workflow in WORKFLOWS}


@pytest.mark.parametrize("name", sorted(HISTORIES))
async def test_a_history_of_other_steps_does_not_replay(replayer: Replayer, name: str) -> None:
    """The replay can fail: as if an earlier version had begun with another activity."""
    history = json.loads(HISTORIES[name])
    [first, *_] = [
        event["activityTaskScheduledEventAttributes"]
        for event in history["events"]
        if "activityTaskScheduledEventAttributes" in event
    ]
    first["activityType"]["name"] = "another.step"
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history_of(json.dumps(history)))
