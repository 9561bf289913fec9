"""Figures as tables for people and as JSON for machines."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from benchmarks.admission import LEAST_RATIO, AdmissionFigures
from benchmarks.payments import LEAST_RATIO as LEAST_PAYMENTS_RATIO
from benchmarks.payments import PaymentFigures
from benchmarks.portfolio_import import MOST_BYTES, MOST_RATIO, ImportFigures
from benchmarks.reconciliation import MOST_RATIO as MOST_RECONCILIATION_RATIO
from benchmarks.reconciliation import ReconciliationFigures
from benchmarks.scoring import MOST_GROWTH, ScoringFigures
from benchmarks.scoring import MOST_RATIO as MOST_SCORING_RATIO
from benchmarks.transition import TransitionFigures
from benchmarks.turns import AT_ONCE, RoundTrips, percentile
from benchmarks.worklist import MOST_RATIO as MOST_WORKLIST_RATIO
from benchmarks.worklist import Latencies, WorklistFigures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType


def import_json(figures: ImportFigures) -> dict[str, Any]:
    """The import's figures; seconds, bytes, and ratios to the floor."""
    return {
        "rows": figures.rows,
        "file_bytes": figures.file_bytes,
        "turns": len(figures.runs),
        "import_s": figures.wall_s,
        "import_s_each": [run.wall_s for run in figures.runs],
        "floor_s": figures.floor_s,
        "floor_s_each": [sum(floor.values()) for floor in figures.floors],
        "ratio": figures.ratio,
        "ratio_with_fingerprint": figures.ratio_with_fingerprint,
        "rows_per_s": figures.rows / figures.wall_s,
        "fingerprint_s": figures.fingerprint_s,
        "phases_s": {name: figures.phase_s(name) for name in figures.runs[0].phases},
        "floor_tables_s": {name: figures.floor_of(name) for name in figures.floors[0]},
        "peak_bytes": figures.peak_bytes,
        "peak_bytes_few_rows": figures.few.peak_bytes,
        "few_rows": figures.few.rows,
        "promises": {"ratio_at_most": MOST_RATIO, "peak_bytes_at_most": MOST_BYTES},
    }


def admission_json(figures: AdmissionFigures) -> dict[str, Any]:
    """The admission's figures; workflows a second, and the ratio to the floor."""
    return {
        "accounts": figures.accounts,
        "turns": len(figures.admitted),
        "admitted_per_s": figures.admitted_per_s,
        "admitted_per_s_each": figures.admitted,
        "bare_per_s": figures.bare_per_s,
        "bare_per_s_each": figures.bare,
        "ratio": figures.ratio,
        "promises": {"ratio_at_least": LEAST_RATIO},
    }


def scoring_json(figures: ScoringFigures) -> dict[str, Any]:
    """The scoring's figures; seconds, bytes, and the ratio to the floor."""
    return {
        "accounts": figures.accounts,
        "turns": len(figures.first),
        "scoring_s": figures.wall_s,
        "scoring_s_each": [run.wall_s for run in figures.first],
        "floor_s": figures.floor_s,
        "floor_s_each": figures.floors,
        "ratio": figures.ratio,
        "accounts_per_s": figures.accounts / figures.wall_s,
        "unchanged_s": figures.again_s,
        "peak_bytes": figures.peak_bytes,
        "few_accounts": figures.few.changed,
        "peak_bytes_few_accounts": figures.few.peak_bytes,
        "promises": {"ratio_at_most": MOST_SCORING_RATIO, "peak_growth_at_most": MOST_GROWTH},
    }


def worklist_json(figures: WorklistFigures) -> dict[str, Any]:
    """The worklist's figures; milliseconds, and ratios of the 99th percentiles."""
    return {
        "accounts": figures.accounts,
        "requests": figures.requests,
        "first": _latencies_json(figures.first),
        "deep": _latencies_json(figures.deep),
        "promises": {"ratio_at_most": MOST_WORKLIST_RATIO},
    }


def _latencies_json(found: Latencies) -> dict[str, Any]:
    return {
        "depth": found.depth,
        "http_p50_ms": percentile(found.over_http, 50) * 1000,
        "http_p99_ms": percentile(found.over_http, 99) * 1000,
        "sql_p50_ms": percentile(found.bare, 50) * 1000,
        "sql_p99_ms": percentile(found.bare, 99) * 1000,
        "ratio": found.ratio,
    }


def import_tables(figures: ImportFigures) -> "Iterator[RenderableType]":
    """The import's figures: medians over the turns, the worst for memory."""
    size = f"{figures.rows:,} rows, {figures.file_bytes / 1e6:,.0f} MB"
    table = Table("", "seconds", "rows/s", title=f"import of {size}, {_turns(len(figures.runs))}")
    _timed(table, "import, start of the workflow to completed", figures.wall_s, figures.rows)
    for name in ("stage", "merge debtors", "merge accounts"):
        _timed(table, f"  {name}", figures.phase_s(name), figures.rows)
    _timed(table, "floor, psql COPY of the same rows", figures.floor_s, figures.rows)
    for name in figures.floors[0]:
        _timed(table, f"  {name}", figures.floor_of(name), figures.rows)
    table.add_section()
    _timed(table, "before: fingerprint, by the poll", figures.fingerprint_s, figures.rows)
    for name in ("scoring", "search index"):
        _timed(table, f"after, side by side: {name}", figures.phase_s(name), figures.rows)
    yield table
    yield promise(
        f"import is {figures.ratio:.2f} × the floor ({figures.ratio_with_fingerprint:.2f} × with the"
        f" fingerprint), promised at most {MOST_RATIO:g} ×",
        kept=figures.ratio <= MOST_RATIO,
    )
    few, many = figures.few, figures.peak_bytes
    yield promise(
        f"the worker held at most {_mib(many)} ({_mib(few.peak_bytes)} for {few.rows:,} rows),"
        f" promised at most {_mib(MOST_BYTES)}",
        kept=many <= MOST_BYTES,
    )


def admission_tables(figures: AdmissionFigures) -> "Iterator[RenderableType]":
    """The admission's figures: medians over the turns."""
    title = f"admission of {figures.accounts:,} accounts, {_turns(len(figures.admitted))}"
    table = Table("", "workflows/s", title=title)
    table.add_row("admitted: started, loaded, marked, waiting", f"{figures.admitted_per_s:.1f}")
    table.add_row("floor: bare workflows, one activity and a timer", f"{figures.bare_per_s:.1f}")
    yield table
    yield promise(
        f"admission is {figures.ratio:.2f} × the floor, promised at least {LEAST_RATIO:g} ×",
        kept=figures.ratio >= LEAST_RATIO,
    )


def worklist_tables(figures: WorklistFigures) -> "Iterator[RenderableType]":
    """The worklist's figures: what half and what 99 in 100 requests stay within."""
    title = f"worklist of {figures.accounts:,} accounts, {figures.requests:,} requests each way"
    table = Table("", "p50 ms", "p99 ms", title=title)
    pages = (("first page", figures.first), (f"page behind {figures.deep.depth:,}", figures.deep))
    for name, found in pages:
        for way, times in (("GET /worklist", found.over_http), ("floor, the same SQL", found.bare)):
            p50, p99 = (f"{percentile(times, percent) * 1000:.2f}" for percent in (50, 99))
            table.add_row(f"{name}: {way}", p50, p99)
    yield table
    for name, found in pages:
        yield promise(
            f"{name}: p99 is {found.ratio:.2f} × the floor's, promised at most {MOST_WORKLIST_RATIO:g} ×",
            kept=found.ratio <= MOST_WORKLIST_RATIO,
        )


def transition_json(figures: TransitionFigures) -> dict[str, Any]:
    """The figures of account updates: milliseconds, updates a second, and the ratio of the medians."""
    return {
        "updates": figures.updates,
        "at_once": AT_ONCE,
        "sequential": _round_trips_json("transition", figures.sequential),
        "concurrent": _round_trips_json("transition", figures.concurrent),
    }


def _round_trips_json(what: str, found: RoundTrips) -> dict[str, float]:
    return {
        **{
            f"{name}_p{percent}_ms": percentile(times, percent) * 1000
            for name, times in ((what, found.ours), ("bare", found.floor))
            for percent in (50, 99)
        },
        f"{what}s_per_s": found.ours_per_s,
        "bare_per_s": found.floor_per_s,
        "ratio": found.ratio_of_medians,
        "ratio_of_rates": found.ratio_of_rates,
    }


def transition_tables(figures: TransitionFigures) -> "Iterator[RenderableType]":
    """The figures of account updates: what half and what 99 in 100 of them stay within."""
    title = f"moving accounts, {figures.updates:,} updates each way"
    ways = (("one after the other", figures.sequential), (f"{AT_ONCE} at once", figures.concurrent))
    kinds = ("transition, written to the database", "floor, an update that does nothing")
    yield _round_trips_table(title, "updates/s", kinds, ways)
    for name, found in ways:
        yield Text(f"{name}: p50 is {found.ratio_of_medians:.2f} × the floor's")


def payments_json(figures: PaymentFigures) -> dict[str, Any]:
    """The figures of payments: milliseconds from request to ledger, payments a second, and the ratios."""
    return {
        "payments": figures.payments,
        "activities": figures.activities,
        "at_once": AT_ONCE,
        "sequential": _round_trips_json("payment", figures.sequential),
        "concurrent": _round_trips_json("payment", figures.concurrent),
        "promises": {"ratio_of_rates_at_least": LEAST_PAYMENTS_RATIO},
    }


def payments_tables(figures: PaymentFigures) -> "Iterator[RenderableType]":
    """The figures of payments: what half and what 99 in 100 of them stay within."""
    title = f"card payments, request to ledger, {figures.payments:,} each way"
    ways = (("one after the other", figures.sequential), (f"{AT_ONCE} at once", figures.concurrent))
    kinds = (
        "payment, on the ledger",
        f"floor, a workflow with {figures.activities} activities that do nothing",
    )
    yield _round_trips_table(title, "payments/s", kinds, ways)
    ratio = figures.concurrent.ratio_of_rates
    yield promise(
        f"{AT_ONCE} at once, payments are posted at {ratio:.2f} × the floor's rate,"
        f" promised at least {LEAST_PAYMENTS_RATIO:g} ×",
        kept=ratio >= LEAST_PAYMENTS_RATIO,
    )


def reconciliation_json(figures: ReconciliationFigures) -> dict[str, Any]:
    """The figures of reconciliations with a partner; seconds, bytes, and the ratio to the floor."""
    return {
        "accounts": figures.accounts,
        "lines": figures.first[0].lines,
        "breaks": figures.first[0].breaks,
        "turns": len(figures.first),
        "reconciliation_s": figures.wall_s,
        "reconciliation_s_each": [run.wall_s for run in figures.first],
        "floor_s": figures.floor_s,
        "floor_s_each": figures.floors,
        "ratio": figures.ratio,
        "again_s": figures.again_s,
        "peak_bytes": figures.peak_bytes,
        "promises": {"ratio_at_most": MOST_RECONCILIATION_RATIO},
    }


def reconciliation_tables(figures: ReconciliationFigures) -> "Iterator[RenderableType]":
    """The figures of reconciliations with a partner: medians over the turns."""
    lines, breaks = figures.first[0].lines, figures.first[0].breaks
    size = f"{lines:,} lines against {figures.accounts:,} accounts, {breaks:,} breaks"
    table = Table("", "seconds", "lines/s", title=f"{size}, {_turns(len(figures.first))}")
    _timed(table, "reconciliation, start of the workflow to completed", figures.wall_s, lines)
    _timed(table, "  the next statement, which says the same", figures.again_s, lines)
    _timed(table, "floor, one FULL JOIN that inserts as many rows", figures.floor_s, lines)
    yield table
    yield promise(
        f"reconciliation is {figures.ratio:.2f} × the floor,"
        f" promised at most {MOST_RECONCILIATION_RATIO:g} ×",
        kept=figures.ratio <= MOST_RECONCILIATION_RATIO,
    )
    yield Text(f"the worker held at most {_mib(figures.peak_bytes)}")


def _round_trips_table(
    title: str, rate: str, kinds: tuple[str, str], ways: "Sequence[tuple[str, RoundTrips]]"
) -> Table:
    table = Table("", "p50 ms", "p99 ms", rate, title=title)
    for name, found in ways:
        of_kind = ((found.ours, found.ours_per_s), (found.floor, found.floor_per_s))
        for kind, (times, per_s) in zip(kinds, of_kind, strict=True):
            p50, p99 = (f"{percentile(times, percent) * 1000:.1f}" for percent in (50, 99))
            table.add_row(f"{name}: {kind}", p50, p99, f"{per_s:,.0f}")
    return table


def _timed(table: Table, name: str, seconds: float, rows: int) -> None:
    table.add_row(name, f"{seconds:,.1f}", f"{rows / seconds:,.0f}" if seconds >= 0.05 else "")


def promise(sentence: str, *, kept: bool) -> Text:
    """A promise with what came of it: green where it is kept, red where it is missed."""
    return Text(f"{sentence}: {'kept' if kept else 'missed'}", style="green" if kept else "red")


def _turns(count: int) -> str:
    return f"median of {count} turns" if count > 1 else "one turn"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def scoring_tables(figures: ScoringFigures) -> "Iterator[RenderableType]":
    """The scoring's figures: medians over the turns, the worst for memory."""
    title = f"scoring of {figures.accounts:,} accounts, {_turns(len(figures.first))}"
    table = Table("", "seconds", "accounts/s", title=title)
    _timed(table, "scored, explained and stored", figures.wall_s, figures.accounts)
    _timed(table, "floor, INSERT … SELECT of constant rows", figures.floor_s, figures.accounts)
    table.add_section()
    _timed(table, "again, with nothing changed", figures.again_s, figures.accounts)
    yield table
    yield promise(
        f"scoring is {figures.ratio:.2f} × the floor, promised at most {MOST_SCORING_RATIO:g} ×",
        kept=figures.ratio <= MOST_SCORING_RATIO,
    )
    few, many = figures.few, figures.peak_bytes
    yield promise(
        f"the worker held at most {_mib(many)} ({_mib(few.peak_bytes)} for {few.changed:,} accounts),"
        f" promised at most {MOST_GROWTH:g} × as much",
        kept=many <= MOST_GROWTH * few.peak_bytes,
    )
