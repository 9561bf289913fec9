"""A process of the product that ends comes back, unless it ends too often in too short a time."""

import sys
from pathlib import Path

import pytest

from sandbox.processes import Child, Command
from sandbox.stack import App, keep_running

RESTARTS = 2


@pytest.fixture
async def ending(tmp_path: Path) -> Child:
    """A process that ends as soon as it is there, whenever it is started."""
    child = Child("ending", Command((sys.executable, "-S", "-c", "raise SystemExit(3)")), tmp_path / "log")
    await child.start()
    return child


async def test_who_ends_too_often_within_the_window_is_broken(ending: Child) -> None:
    app = App("ending", (), restarts=RESTARTS, window_s=600)
    reports: list[str] = []
    await keep_running(app, ending, report=lambda _, what: reports.append(what), stopping=lambda: False)
    assert [what.rpartition("(")[2] for what in reports] == ["1 of 2)", "2 of 2)"]
    assert "3" in ending.ending()


async def test_who_ends_now_and_then_always_comes_back(ending: Child) -> None:
    """A window of no length has forgotten each end when the next one comes."""
    app = App("ending", (), restarts=RESTARTS, window_s=0)
    reports: list[str] = []
    await keep_running(
        app,
        ending,
        report=lambda _, what: reports.append(what),
        stopping=lambda: len(reports) == 2 * RESTARTS,
    )
    assert [what.rpartition("(")[2] for what in reports] == ["1 of 2)"] * 2 * RESTARTS
