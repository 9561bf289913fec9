"""Prometheus metrics of the whole installation: imports, payments, ledger, inbox, contacts, schedules."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from temporalio.service import RPCError

from domain.errors import Unavailable

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from services.health import Readiness
    from services.operating_figures import (
        LedgerFigures,
        OperatingFigures,
        Queue,
        Reads,
        ScheduleFigures,
    )

FRESH_S = 30.0
"""How old figures may be that are shown again: scrapes of several servers do not ask anew each time."""

PATIENCE_S = 5.0
LEDGER_FRESH_S = 3600.0
"""How often the ledger is proved: it reads every posting."""

LEDGER_PATIENCE_S = 1800.0
LEDGER_WAIT_S = 1.0
"""How long a scrape waits for the proof: that of a small ledger is done by then."""

_Answer = TypeVar("_Answer")
_log = structlog.stdlib.get_logger("metrics")


class _Reading(Generic[_Answer]):
    """One question, asked again when its answer is no longer fresh; without an answer all stays as it was."""

    def __init__(
        self, name: str, ask: Callable[[], Awaitable[_Answer]], show: Callable[[_Answer], None], age: Gauge
    ) -> None:
        self._name = name
        self._ask = ask
        self._show = show
        self._turn = asyncio.Lock()
        self._read_at: float | None = None
        age.labels(name).set_function(self._age)

    def _age(self) -> float:
        return -1.0 if self._read_at is None else monotonic() - self._read_at

    async def refresh(self, fresh_s: float, patience_s: float) -> None:
        async with self._turn:
            if self._read_at is not None and self._age() < fresh_s:
                return
            try:
                async with asyncio.timeout(patience_s):
                    answer = await self._ask()
            except (TimeoutError, Unavailable, RPCError) as error:
                _log.warning("figures not read", figures=self._name, error=type(error).__name__)
                return
            self._read_at = monotonic()
            self._show(answer)


class _Totals(Collector):
    """Counters that the database keeps."""

    def __init__(self) -> None:
        self.rows: Mapping[str, int] = {}
        self.files: Mapping[str, int] = {}

    def collect(self) -> "Iterable[Metric]":
        """The totals as they were read last."""
        rows = CounterMetricFamily("recoup_import_rows", "rows of portfolio files", labels=["outcome"])
        files = CounterMetricFamily("recoup_import_files", "portfolio files that ended", labels=["status"])
        for family, values in ((rows, self.rows), (files, self.files)):
            for label, value in values.items():
                family.add_metric([label], value)
        return (rows, files)


class OperatingMetrics:
    """Figures of all agencies together, read when they are asked for."""

    def __init__(self, registry: CollectorRegistry, reads: Callable[[], "Reads"]) -> None:
        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"recoup_{name}", what, labels, registry=registry)

        self._totals = _Totals()
        registry.register(self._totals)
        self._imports = gauge("imports_unfinished", "portfolio files on their way")
        self._stalled = gauge(
            "import_stalled_seconds", "since when the slowest unfinished import has not moved"
        )
        self._payments = gauge("payments_of_last_day", "payments asked for in 24 h", "method", "status")
        self._pending = gauge("payments_unfinished", "payments that nothing was said about yet", "status")
        self._pending_age = gauge("payment_oldest_unfinished_seconds", "age of the oldest of them", "status")
        self._inbox = gauge("inbox_events", "events of the payment provider that wait", "status")
        self._inbox_age = gauge("inbox_oldest_seconds", "age of the oldest of them", "status")
        self._decisions = gauge(
            "contact_decisions_of_last_hour", "what the law said to contacts", "rule", "allowed"
        )
        self._months = gauge("partition_months_ahead", "months that every table by month has partitions for")
        self._unsound = gauge("ledger_unsound_accounts", "accounts whose balance differs from their postings")
        self._proved = gauge("ledger_proved_accounts", "accounts that were proved the last time")
        self._lag = gauge(
            "schedule_lag_seconds", "how late the latest run of a kind of schedule is", "schedule"
        )
        self._paused = gauge("schedules_paused", "schedules that are paused", "schedule")
        self._ready = gauge("ready", "whether what serving and working needs is there, 0 or 1", "check")
        age = gauge("figures_age_seconds", "since when figures were not read; -1 when never", "figures")
        self._figures = _Reading("operating", lambda: reads().figures(), self._show, age)
        self._schedules = _Reading("schedules", lambda: reads().schedules(), self._show_schedules, age)
        self._readiness = _Reading("readiness", lambda: reads().readiness(), self._show_readiness, age)
        self._ledger = _Reading("ledger", lambda: reads().ledger(), self._show_ledger, age)
        self._proof: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Bring the figures up to date; the proof of a large ledger is begun when due, not waited for."""
        if self._proof is None or self._proof.done():
            proof = self._ledger.refresh(LEDGER_FRESH_S, LEDGER_PATIENCE_S)
            self._proof = asyncio.create_task(proof)
        await asyncio.gather(
            asyncio.wait({self._proof}, timeout=LEDGER_WAIT_S),
            *(
                reading.refresh(FRESH_S, PATIENCE_S)
                for reading in (self._figures, self._schedules, self._readiness)
            ),
        )

    async def aclose(self) -> None:
        """Give up the proof of the ledger that is going on."""
        if self._proof is not None:
            self._proof.cancel()
            await asyncio.gather(self._proof, return_exceptions=True)

    def _show(self, figures: "OperatingFigures") -> None:
        self._totals.rows, self._totals.files = figures.rows, figures.files
        self._imports.set(figures.imports_unfinished)
        self._stalled.set(figures.import_stalled_s)
        self._payments.clear()
        for (method, status), count in figures.payments.items():
            self._payments.labels(method, status).set(count)
        self._decisions.clear()
        for (rule, allowed), count in figures.decisions.items():
            self._decisions.labels(rule, str(allowed).lower()).set(count)
        _show_queue(figures.unfinished_payments, self._pending, self._pending_age)
        _show_queue(figures.inbox, self._inbox, self._inbox_age)
        self._months.set(figures.months_ahead)

    def _show_ledger(self, figures: "LedgerFigures") -> None:
        self._unsound.set(figures.unsound)
        self._proved.set(figures.accounts)

    def _show_schedules(self, figures: "ScheduleFigures") -> None:
        for gauge, values in ((self._lag, figures.lag_s), (self._paused, figures.paused)):
            gauge.clear()
            for kind, value in values.items():
                gauge.labels(kind).set(value)

    def _show_readiness(self, readiness: "Readiness") -> None:
        self._ready.clear()
        for name, check in readiness.checks.items():
            self._ready.labels(name).set(check.ok)


def _show_queue(queue: "Queue", counts: Gauge, oldest: Gauge) -> None:
    counts.clear()
    oldest.clear()
    for status, count in queue.counts.items():
        counts.labels(status).set(count)
        oldest.labels(status).set(queue.oldest_s[status])
