"""A portfolio file through the door, against psql's ``COPY`` of the same finished rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.floor import Dump, dump, load
from benchmarks.memory import watched
from benchmarks.spans import history
from sandbox.portfolios import write_portfolio
from workflows import queues

if TYPE_CHECKING:
    from benchmarks.world import Shop, World

COLUMNS = (
    "external_ref",
    "debtor_name",
    "debtor_ssn_last4",
    "debtor_email",
    "debtor_phone",
    "original_amount",
    "due_date",
    "creditor_name",
    "account_type",
)
"""The layout of the creditors' sample files."""

FEW_ROWS = 10_000
MOST_RATIO = 2.0
MOST_BYTES = 300 << 20
_SEED = 2026_02
_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One import, in seconds and bytes. ``wall_s`` runs from the start of the workflow to completed."""

    rows: int
    fingerprint_s: float
    wall_s: float
    phases: dict[str, float]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class ImportFigures:
    """Imports and floors in the order in which they were taken; ``few`` is the small import."""

    rows: int
    file_bytes: int
    runs: tuple[ImportRun, ...]
    floors: tuple[dict[str, float], ...]
    few: ImportRun

    @property
    def wall_s(self) -> float:
        """Median wall time of an import."""
        return median(run.wall_s for run in self.runs)

    @property
    def floor_s(self) -> float:
        """Median time of the floor."""
        return median(sum(floor.values()) for floor in self.floors)

    @property
    def ratio(self) -> float:
        """Import over floor, by medians."""
        return self.wall_s / self.floor_s

    @property
    def ratio_with_fingerprint(self) -> float:
        """The same with the poll's reading of the file for its fingerprint."""
        return median(run.wall_s + run.fingerprint_s for run in self.runs) / self.floor_s

    @property
    def fingerprint_s(self) -> float:
        """Median time that the poll took to read the file for its fingerprint."""
        return median(run.fingerprint_s for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """The most memory that any worker held."""
        return max(run.peak_bytes for run in self.runs)

    def phase_s(self, name: str) -> float:
        """Median time of a phase."""
        return median(run.phases[name] for run in self.runs)

    def floor_of(self, table: str) -> float:
        """Median time of a table's copy."""
        return median(floor[table] for floor in self.floors)


async def measure(world: "World", rows: int, repeat: int, report: Callable[[str], None]) -> ImportFigures:
    """Import ``rows`` records and copy what came of them, in turn, ``repeat`` times."""
    folder = world.settings.home / "files"
    folder.mkdir()
    few_rows = min(rows, FEW_ROWS)
    few = await _measured(world, written(folder, few_rows), few_rows, None)
    report(f"{few.rows:,} rows imported in {few.wall_s:.1f} s")
    file = written(folder, rows)
    runs, floors = [], []
    for turn in range(1, repeat + 1):
        report(f"{turn} of {repeat}: importing {rows:,} rows")
        dumped: list[Dump] = []
        runs.append(await _measured(world, file, rows, dumped))
        report(f"{turn} of {repeat}: imported in {runs[-1].wall_s:.1f} s; copying the same rows")
        floors.append(await load(world, dumped[0]))
        report(f"{turn} of {repeat}: copied in {sum(floors[-1].values()):.1f} s")
    return ImportFigures(rows, file.stat().st_size, tuple(runs), tuple(floors), few)


def written(folder: Path, rows: int) -> Path:
    """An invented portfolio file of so many good rows."""
    path = folder / f"portfolio_{rows}.csv"
    with path.open("wb") as file:
        write_portfolio(file, rows=rows, seed=_SEED, columns=COLUMNS)
    return path


async def _measured(world: "World", file: Path, rows: int, dumped: list[Dump] | None) -> ImportRun:
    async with world.shop() as shop:
        await shop.send(file)
        await world.checkpoint()
        async with watched(shop.worker.pid or 0) as peak:
            poll_id = await shop.poll()
            await until_scored(shop)
        run = await _times(shop, rows, poll_id, peak.look())
        if dumped is not None:
            dumped.append(await dump(world, shop.database, world.settings.home / "files"))
    return run


async def until_scored(shop: "Shop") -> None:
    """Wait until the agency's only import is done with and its accounts are scored."""
    done = "SELECT * FROM import_job WHERE phase IN ('done', 'refused')"
    job = await shop.until(done, within_s=_WITHIN_S, what="the import to end")
    if job["status"] != "completed" or job["processed_errors"]:
        raise RuntimeError(f"the import of the bench ended {job['status']}: {job['reason']}")
    scored = "SELECT * FROM scoring_run WHERE status IN ('completed', 'failed')"
    await shop.until(scored, within_s=_WITHIN_S, what="the accounts to be scored")


async def _times(shop: "Shop", rows: int, poll_id: str, peak_bytes: int) -> ImportRun:
    client = shop.world.client
    [job] = await shop.query("SELECT * FROM import_job")
    if job["accounts_created"] != rows:
        raise RuntimeError(f"{job['accounts_created']} accounts were placed, not {rows}")
    [scoring] = await shop.query("SELECT * FROM scoring_run")
    imported = await history(
        client.get_workflow_handle(queues.import_workflow_id(shop.agency_id, job["sha256"]))
    )
    polled = await history(client.get_workflow_handle(poll_id))
    return ImportRun(
        rows=rows,
        fingerprint_s=polled.seconds("polling.take"),
        wall_s=_between(imported.began, job["completed_at"]),
        phases={
            "stage": imported.seconds("imports.stage"),
            "merge debtors": imported.seconds("imports.merge_bucket", "debtors"),
            "merge accounts": imported.seconds("imports.merge_bucket", "accounts"),
            "search index": imported.seconds("imports.index_bucket"),
            "scoring": _between(scoring["started_at"], scoring["completed_at"]),
        },
        peak_bytes=peak_bytes,
    )


def _between(began: datetime, ended: datetime) -> float:
    return (ended - began).total_seconds()
