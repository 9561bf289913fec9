"""What is left after Ctrl-C and after a kill: nothing that runs, and everything that was done."""

import psutil
import pytest

from tests.e2e.conftest import Sandbox, interrupt

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def test_after_ctrl_c_or_a_kill_nothing_is_left_and_the_next_start_imports_nothing_twice(
    running: Sandbox,
) -> None:
    """The last one: it ends the sandbox of those before it."""
    imported = [line for line in _summary(running.printed) if ".csv" in line]
    assert len(imported) == 5
    assert running.supervisor is not None
    code, left = await interrupt(running.supervisor)
    assert (code, left) == (0, []), "Ctrl-C ends everything, cleanly"

    killed = await running.come_up()
    again = _summary(running.printed)
    assert set(imported) < set(again)
    family = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    await killed.communicate()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []

    code, output = await running.run("demo")
    assert code == 0, output
    assert _summary(output) == again


def _summary(output: str) -> list[str]:
    """What each agency has, however wide: a line for every file, and one of its accounts by level."""
    lines = (" ".join(line.split()) for line in output.splitlines())
    return [line for line in lines if line.startswith(("│ demo ", "│ rival "))]
