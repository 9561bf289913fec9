"""The console's figures as tables for people and as JSON for machines."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from benchmarks.console_live import MOST_SLOWER, READERS
from benchmarks.report import promise
from benchmarks.turns import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from benchmarks.console import ConsoleFigures
    from benchmarks.console_browser import BrowserFigures, Visit
    from benchmarks.console_live import LiveFigures, Reads
    from benchmarks.console_pages import Answers


def console_json(figures: "ConsoleFigures") -> dict[str, Any]:
    """The console's figures; milliseconds, bytes, and ratios to the API's JSON."""
    return {
        "accounts": figures.accounts,
        "requests": figures.requests,
        "empty_page": _answers_json(figures.empty),
        "pages": {
            one.name: {
                "page": _answers_json(one.page),
                "json": one.json and _answers_json(one.json),
                "ratio_p50": one.ratio(50),
                "ratio_p95": one.ratio(95),
            }
            for one in figures.pages
        },
        "browser": _browser_json(figures.browser),
        "live": _live_json(figures.live),
        "promises": {"reads_slower_at_most": MOST_SLOWER},
    }


def _answers_json(found: "Answers") -> dict[str, float]:
    return {
        "p50_ms": found.at(50) * 1000,
        "p95_ms": found.at(95) * 1000,
        "processor_ms": found.processor_s * 1000,
        "bytes": found.size,
    }


def _browser_json(found: "BrowserFigures") -> dict[str, Any]:
    if found.missing:
        return {"missing": found.missing}
    return {
        "visits": found.visits,
        "pages": {
            one.name: {"cold": _visit_json(one.cold), "warm": _visit_json(one.warm)} for one in found.pages
        },
        "account_by_click": found.clicked and _visit_json(found.clicked),
    }


def _visit_json(visit: "Visit") -> dict[str, float]:
    return {
        "bytes": visit.bytes,
        "requests": visit.requests,
        "first_paint_ms": visit.first_ms,
        "largest_paint_ms": visit.largest_ms,
    }


def _live_json(found: "LiveFigures") -> dict[str, Any]:
    return {
        "open_pages": found.pages,
        "alone": _reads_json(found.alone),
        "beside": _reads_json(found.beside),
        "slower": found.slower,
        "slower_at_once": found.slower_at_once,
        "events_per_s": found.events_per_s,
        "bytes_per_s": found.bytes_per_s,
        "lag_p50_ms": found.lag_p50_s * 1000,
        "lag_p95_ms": found.lag_p95_s * 1000,
    }


def _reads_json(found: "Reads") -> dict[str, float]:
    return {
        "p50_ms": percentile(found.times, 50) * 1000,
        "p95_ms": percentile(found.times, 95) * 1000,
        "at_once": READERS,
        "reads_per_s": found.per_s,
        "processor_ms": found.processor_s / (len(found.times) + found.count) * 1000,
    }


def console_tables(figures: "ConsoleFigures") -> "Iterator[RenderableType]":
    """The console's figures: what half and what 95 in 100 requests stay within."""
    title = f"pages of the console over {figures.accounts:,} accounts, {figures.requests:,} requests each"
    columns = ("p50 ms", "p95 ms", "CPU ms", "kB", "JSON p50", "JSON p95", "CPU ms", "kB", "p50", "p95")
    table = Table("", *columns, title=title)
    for one in figures.pages:
        ratios = [f"{found:.2f} ×" if (found := one.ratio(percent)) else "" for percent in (50, 95)]
        table.add_row(one.name, *_row(one.page), *_row(one.json), *ratios)
    table.add_row("floor: a page without data (login)", *_row(figures.empty))
    yield table
    yield from _browser_tables(figures.browser)
    yield from _live_tables(figures.live)


def _row(found: "Answers | None") -> list[str]:
    if found is None:
        return [""] * 4
    times = (found.at(50), found.at(95), found.processor_s)
    return [*(f"{seconds * 1000:.1f}" for seconds in times), f"{found.size / 1000:,.1f}"]


def _browser_tables(found: "BrowserFigures") -> "Iterator[RenderableType]":
    if found.missing:
        yield Text(f"in a browser: not measured, {found.missing}", style="yellow")
        return
    title = f"in Chromium, medians of {found.visits} visits"
    table = Table("", "kB", "requests", "first paint ms", "largest paint ms", title=title)
    for one in found.pages:
        table.add_row(f"{one.name}, nothing cached", *_painted(one.cold))
        table.add_row(f"{one.name}, again", *_painted(one.warm))
    if found.clicked:
        table.add_row("account, by a click in the worklist", *_painted(found.clicked))
    yield table


def _painted(visit: "Visit") -> list[str]:
    size = f"{visit.bytes / 1000:,.1f}"
    return [size, str(visit.requests), f"{visit.first_ms:,.0f}", f"{visit.largest_ms:,.0f}"]


def _live_tables(found: "LiveFigures") -> "Iterator[RenderableType]":
    title = f"GET /worklist while {found.pages} pages listen to imports"
    table = Table("", "p50 ms", "p95 ms", f"reads/s, {READERS} at once", "CPU ms a read", title=title)
    for name, reads in (("nobody listens", found.alone), (f"{found.pages} listen", found.beside)):
        told = _reads_json(reads)
        table.add_row(
            name,
            *(f"{told[key]:.1f}" for key in ("p50_ms", "p95_ms", "reads_per_s", "processor_ms")),
        )
    yield table
    yield Text(
        f"{found.events_per_s:,.0f} events/s, {found.bytes_per_s / 1000:,.0f} kB/s; heard"
        f" {found.lag_p50_s * 1000:,.0f} ms (p50), {found.lag_p95_s * 1000:,.0f} ms (p95) after the write"
    )
    for name, slower in (("one caller", found.slower), (f"{READERS} at once", found.slower_at_once)):
        yield promise(
            f"{name}: reads take {slower:.2f} × as long while {found.pages} pages listen,"
            f" promised at most {MOST_SLOWER:g} ×",
            kept=slower <= MOST_SLOWER,
        )
