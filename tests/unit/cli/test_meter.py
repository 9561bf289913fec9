"""Progress of a count: a bar on a terminal, a few lines elsewhere."""

from io import StringIO

from rich.console import Console

from cli.meter import Meter


def test_lines_come_at_each_tenth_at_most() -> None:
    console = Console(file=StringIO(), force_terminal=False, width=200)
    with Meter(console, "accounts") as meter:
        meter.update(0, 0)
        for done in range(1001):
            meter.update(done, 1000)
        meter.say("a word")
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()

    assert lines[:2] == ["accounts: 0 of 1,000 (0 %)", "accounts: 100 of 1,000 (10 %)"]
    assert lines[-2:] == ["accounts: 1,000 of 1,000 (100 %)", "a word"]
    assert len(lines) == 12


def test_a_terminal_gets_a_bar_and_no_lines() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100)
    with Meter(console, "accounts") as meter:
        for done in range(0, 1001, 100):
            meter.update(done, 1000)
        meter.say("a word")
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()

    assert "1000/1000" in shown
    assert "a word" in shown
    assert "(10 %)" not in shown
