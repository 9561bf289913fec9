"""The steps that *new* runs of each workflow take, beside those that they took when somebody last looked.

A replay proves that old histories go on; this shows what a change does to runs that begin now. A difference
is either a mistake, or meant: then the change is behind ``workflow.patched`` where runs of the old shape may
still be under way, and ``make fingerprints`` writes what is to be reviewed in the diff.
"""

import os
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.replay.stage import SCENARIOS, Scenario, Stage
from workers.worker import WORKFLOWS

FOLDER = Path(__file__).parent / "fingerprints"
WRITE = os.environ.get("RECOUP_FINGERPRINTS") == "write"

for _subject in ("accounts", "bulk", "money", "partners"):
    import_module(f"tests.replay.scenarios_{_subject}")


@pytest.fixture
async def stage(time_skipping: WorkflowEnvironment) -> AsyncIterator[Stage]:
    """A server for each scenario: on a shared one a child that outlives its parent stops the clock."""
    async with Stage(time_skipping).open() as opened:
        yield opened


@pytest.mark.parametrize("scenario", [pytest.param(one, id=name) for name, one in sorted(SCENARIOS.items())])
async def test_new_runs_take_the_steps_that_were_agreed_on(stage: Stage, scenario: Scenario) -> None:
    steps = "\n".join(await stage.play(scenario)) + "\n"
    file = FOLDER / f"{scenario.name}.txt"
    if WRITE:
        file.write_text(steps)
    assert file.exists(), f"{scenario.name} has no fingerprint yet: make fingerprints"
    assert steps == file.read_text(), (
        "new runs take other steps; if that is meant, see CONTRIBUTING.md on changing a workflow"
    )


def test_every_workflow_has_a_fingerprint() -> None:
    assert {one.workflow for one in SCENARIOS.values()} == set(WORKFLOWS)


def test_every_fingerprint_is_of_a_scenario() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(SCENARIOS)
