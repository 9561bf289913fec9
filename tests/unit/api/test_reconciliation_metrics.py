"""Metrics of reconciliation: what is shown, and what is when the database does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api import reconciliation_metrics
from api.reconciliation_metrics import ReconciliationMetrics
from domain.errors import Unavailable
from services.reconciliation_figures import ReconciliationFigures, Sort

OLD = Sort("partner", "balance", "30+")
NEW = Sort("processor", "missing_here", "0-1")


def figures(
    sort: Sort, count: int, value: str, *, lines: int = 200, matched: int = 150
) -> ReconciliationFigures:
    return ReconciliationFigures({sort: count}, {(sort, "USD"): Decimal(value)}, lines, matched)


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation_metrics, "FRESH_S", -1.0)
    monkeypatch.setattr(reconciliation_metrics, "PATIENCE_S", 0.05)


class Asked:
    """What the database says, one answer after the other."""

    def __init__(
        self, *answers: ReconciliationFigures | Callable[[], Awaitable[ReconciliationFigures]]
    ) -> None:
        self._answers = list(answers)
        self.registry = CollectorRegistry()
        self.metrics = ReconciliationMetrics(self.registry, self._read)

    async def _read(self) -> ReconciliationFigures:
        answer = self._answers.pop(0)
        return answer if isinstance(answer, ReconciliationFigures) else await answer()

    async def lines(self) -> list[str]:
        await self.metrics.refresh()
        text = generate_latest(self.registry).decode()
        return [line for line in text.splitlines() if not line.startswith("#")]


async def test_figures_are_shown_and_those_that_are_gone_no_more() -> None:
    asked = Asked(figures(OLD, 3, "41.50"), figures(NEW, 1, "7.00", lines=0, matched=0))
    assert await asked.lines() == [
        "recoup_reconciliation_matched_share 0.75",
        'recoup_reconciliation_breaks{age="30+",kind="balance",source="partner"} 3.0',
        'recoup_reconciliation_value_at_risk{age="30+",currency="USD",kind="balance",source="partner"} 41.5',
    ]
    share, *others = await asked.lines()
    assert share == "recoup_reconciliation_matched_share 1.0"
    assert all('kind="missing_here"' in line for line in others)
    assert len(others) == 2


async def away() -> ReconciliationFigures:
    raise Unavailable("the database does not answer")


async def slow() -> ReconciliationFigures:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits for so long")


@pytest.mark.parametrize("trouble", [away, slow])
async def test_figures_stay_as_they_were_while_the_database_does_not_answer(
    trouble: Callable[[], Awaitable[ReconciliationFigures]],
) -> None:
    asked = Asked(figures(OLD, 3, "41.50"), trouble, figures(NEW, 1, "7.00"))
    before = await asked.lines()
    assert await asked.lines() == before
    assert await asked.lines() != before
