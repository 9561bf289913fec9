"""What long work tells of itself while it goes on."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

QUIET_S = 2.0
"""Work that is shorter needs no word about its progress where nobody watches."""


class Stages:
    """What is being done: a bar for each stage for people, a line for each long one where nobody watches."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._told: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` of a stage; a total of 0 is not known."""
        if stage not in self._tasks:
            for before in self._tasks.values():
                self._bar.stop_task(before)
            self._tasks[stage] = self._bar.add_task(stage, total=None)
        self._bar.update(self._tasks[stage], completed=done, total=total or None)
        passed = time.monotonic() - self._started
        if self._bar.disable and passed > QUIET_S and stage not in self._told:
            self._told.add(stage)
            self._console.print(f"{stage} … ({passed:.0f} s)")

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._console.print(line)
