"""``recoup bench``: speed against floors that are taken in the same run, on servers of its own."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import (
    admission,
    payments,
    portfolio_import,
    reconciliation,
    scoring,
    transition,
    worklist,
)
from benchmarks import (
    console as console_bench,
)
from benchmarks.console_report import console_json, console_tables
from benchmarks.report import (
    admission_json,
    admission_tables,
    import_json,
    import_tables,
    payments_json,
    payments_tables,
    reconciliation_json,
    reconciliation_tables,
    scoring_json,
    scoring_tables,
    transition_json,
    transition_tables,
    worklist_json,
    worklist_tables,
)
from benchmarks.world import World, world
from domain.errors import Invalid
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from rich.console import RenderableType

BENCHES = (
    "import",
    "admission",
    "scoring",
    "worklist",
    "transition",
    "payments",
    "reconciliation",
    "console",
)
TERMINATED = 143

_BY_ROWS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "import": (portfolio_import.measure, import_json, import_tables),
    "scoring": (scoring.measure, scoring_json, scoring_tables),
    "reconciliation": (reconciliation.measure, reconciliation_json, reconciliation_tables),
}
"""What is measured by a number of rows, turn by turn: how, and how its figures are shown."""


async def run(
    what: Sequence[str],
    *,
    rows: int,
    accounts: int,
    repeat: int,
    requests: int,
    console: Console,
    as_json: bool,
) -> int:
    """Take the measurements asked for (all by default) and show them.

    Returns 0, 1 when the servers do not start, 143 when ended by SIGTERM. A promise that is missed is
    said, not an exit code: figures depend on the machine and its load. Raises ``Invalid`` for a
    benchmark that does not exist.
    """
    unknown = sorted(set(what) - set(BENCHES))
    if unknown:
        raise Invalid(f"unknown benchmarks {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    progress = Console(stderr=True) if as_json else console
    found: dict[str, Any] = {}
    shown: list[RenderableType] = []
    with _sigterm_cancels() as terminated, progress.status("starting servers") as status:

        def report(step: str) -> None:
            status.update(step)
            if not progress.is_terminal:
                progress.print(step, highlight=False, markup=False)

        try:
            async with world(report) as servers:
                for name in what or BENCHES:
                    figures, tables = await _measure(name, servers, rows, accounts, repeat, requests, report)
                    found[name] = figures
                    shown += tables
        except SandboxError as error:
            progress.print(str(error), style="red", markup=False)
            return 1
        except asyncio.CancelledError:
            if terminated.is_set():
                return TERMINATED
            raise
    if as_json:
        console.print_json(json.dumps(found))
    for table in [] if as_json else shown:
        console.print(table)
    return 0


async def _measure(
    name: str,
    servers: World,
    rows: int,
    accounts: int,
    repeat: int,
    requests: int,
    report: Callable[[str], None],
) -> "tuple[dict[str, Any], list[RenderableType]]":
    if name in _BY_ROWS:
        measure, as_json, as_tables = _BY_ROWS[name]
        figures = await measure(servers, rows, repeat, report)
        return as_json(figures), list(as_tables(figures))
    if name == "worklist":
        listed = await worklist.measure(servers, rows, requests, report)
        return worklist_json(listed), list(worklist_tables(listed))
    if name == "console":
        looked = await console_bench.measure(servers, rows, requests, repeat, report)
        return console_json(looked), list(console_tables(looked))
    if name == "transition":
        moved = await transition.measure(servers, requests, report)
        return transition_json(moved), list(transition_tables(moved))
    if name == "payments":
        paid = await payments.measure(servers, requests, report)
        return payments_json(paid), list(payments_tables(paid))
    admitted = await admission.measure(servers, accounts, repeat, report)
    return admission_json(admitted), list(admission_tables(admitted))


@contextmanager
def _sigterm_cancels() -> Iterator[asyncio.Event]:
    """SIGTERM ends the run as Ctrl-C does, servers stopped and folder removed; the event then is set."""
    loop, task, terminated = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def cancel() -> None:
        terminated.set()
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, cancel)
    try:
        yield terminated
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
