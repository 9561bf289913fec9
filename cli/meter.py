"""Progress of a count on standard error: a bar for people, a line now and then where nobody watches."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STEP_PERCENT = 10
"""How much has to be done for another line."""


class Meter:
    """``with Meter(console, "accounts") as meter: meter.update(done, total)``; counts start again at will."""

    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what
        self._told_percent = -STEP_PERCENT
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        self._bar.update(self._task, completed=done, total=total or None)
        percent = 100 * done // total if total else 0
        if self._bar.disable and total and percent >= self._told_percent + STEP_PERCENT:
            self._told_percent = percent - percent % STEP_PERCENT
            self._console.print(f"{self._what}: {done:,} of {total:,} ({percent} %)")

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line)
