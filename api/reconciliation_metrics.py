"""Prometheus metrics of reconciliation: matched share, breaks by kind and age, value at risk."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, Gauge

from domain.errors import Unavailable
from services.reconciliation_figures import ReconciliationFigures

FRESH_S = 30.0
"""How old figures may be that are shown again: scrapes of several servers do not ask anew each time."""

PATIENCE_S = 5.0

_SORT = ("source", "kind", "age")
_log = structlog.stdlib.get_logger("metrics")


class ReconciliationMetrics:
    """Figures of all agencies together, read when they are asked for. ``read`` asks the database."""

    def __init__(
        self, registry: CollectorRegistry, read: Callable[[], Awaitable[ReconciliationFigures]]
    ) -> None:
        self._read = read
        self._read_at: float | None = None
        self._turn = asyncio.Lock()
        self._share = Gauge(
            "recoup_reconciliation_matched_share",
            "part of the lines of partners' newest reconciliations that was matched, 0 to 1",
            registry=registry,
        )
        self._breaks = Gauge(
            "recoup_reconciliation_breaks",
            "differences that are not resolved, by age in days",
            _SORT,
            registry=registry,
        )
        self._value = Gauge(
            "recoup_reconciliation_value_at_risk",
            "money in differences that are not resolved, by age in days",
            (*_SORT, "currency"),
            registry=registry,
        )

    async def refresh(self) -> None:
        """Bring the figures up to date; while the database does not answer they stay as they were."""
        async with self._turn:
            if self._read_at is not None and monotonic() - self._read_at < FRESH_S:
                return
            try:
                async with asyncio.timeout(PATIENCE_S):
                    figures = await self._read()
            except (TimeoutError, Unavailable) as error:
                _log.warning("reconciliation figures not read", error=type(error).__name__)
                return
            self._read_at = monotonic()
        self._show(figures)

    def _show(self, figures: ReconciliationFigures) -> None:
        self._share.set(figures.matched_share)
        self._breaks.clear()
        for sort, count in figures.breaks.items():
            self._breaks.labels(*sort).set(count)
        self._value.clear()
        for (sort, currency), value in figures.values.items():
            # Prometheus knows floats only; nothing is reckoned with these.
            self._value.labels(*sort, currency).set(float(value))
