"""Metrics of the installation: what is shown, and what is when nobody answers."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api import operating_metrics
from api.operating_metrics import OperatingMetrics
from domain.errors import Unavailable
from services.health import Check, Readiness
from services.operating_figures import LedgerFigures, OperatingFigures, Queue, Reads, ScheduleFigures


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FRESH_S", "LEDGER_FRESH_S"):
        monkeypatch.setattr(operating_metrics, name, -1.0)
    for name in ("PATIENCE_S", "LEDGER_PATIENCE_S"):
        monkeypatch.setattr(operating_metrics, name, 0.05)


class Installation:
    """What monitoring hears; a question without an answer is ``Unavailable``."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "figures": OperatingFigures(
                rows=Counter(taken=90, refused=10),
                files=Counter(completed=2, failed=1),
                imports_unfinished=1,
                import_stalled_s=12.5,
                payments=Counter({("card", "succeeded"): 7}),
                inbox=Queue(Counter(received=3), {"received": 61.0}),
                decisions=Counter({("quiet_hours", False): 4}),
                months_ahead=17,
            ),
            "ledger": LedgerFigures(accounts=5, unsound=0),
            "schedules": ScheduleFigures({"portfolio-poll": 2.0}, {"portfolio-poll": 1}),
            "readiness": Readiness(
                ready=False, checks={"workers": Check(ok=False), "database": Check(ok=True)}
            ),
        }
        self.registry = CollectorRegistry()
        reads = Reads(*(self._asked(name) for name in ("figures", "ledger", "schedules", "readiness")))
        self.metrics = OperatingMetrics(self.registry, lambda: reads)

    def _asked(self, name: str) -> Any:
        async def ask() -> Any:
            if name not in self.answers:
                raise Unavailable("nobody answers")
            return self.answers[name]

        return ask

    async def shown(self) -> dict[str, str]:
        await self.metrics.refresh()
        text = generate_latest(self.registry).decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: value for name, value in lines if "age_seconds" not in name}


async def test_every_figure_is_shown() -> None:
    assert await Installation().shown() == {
        'recoup_import_rows_total{outcome="taken"}': "90.0",
        'recoup_import_rows_total{outcome="refused"}': "10.0",
        'recoup_import_files_total{status="completed"}': "2.0",
        'recoup_import_files_total{status="failed"}': "1.0",
        "recoup_imports_unfinished": "1.0",
        "recoup_import_stalled_seconds": "12.5",
        'recoup_payments_of_last_day{method="card",status="succeeded"}': "7.0",
        'recoup_inbox_events{status="received"}': "3.0",
        'recoup_inbox_oldest_seconds{status="received"}': "61.0",
        'recoup_contact_decisions_of_last_hour{allowed="false",rule="quiet_hours"}': "4.0",
        "recoup_partition_months_ahead": "17.0",
        "recoup_ledger_unsound_accounts": "0.0",
        "recoup_ledger_proved_accounts": "5.0",
        'recoup_schedule_lag_seconds{schedule="portfolio-poll"}': "2.0",
        'recoup_schedules_paused{schedule="portfolio-poll"}': "1.0",
        'recoup_ready{check="workers"}': "0.0",
        'recoup_ready{check="database"}': "1.0",
    }


async def test_what_is_gone_is_shown_no_more() -> None:
    installation = Installation()
    await installation.shown()
    installation.answers["figures"] = OperatingFigures()
    shown = await installation.shown()
    assert not [
        name for name in shown if name.startswith(("recoup_inbox", "recoup_payments", "recoup_contact"))
    ]


@pytest.mark.parametrize("silent", ["figures", "ledger", "schedules", "readiness"])
async def test_figures_stay_while_nobody_answers(silent: str) -> None:
    installation = Installation()
    before = await installation.shown()
    del installation.answers[silent]
    assert await installation.shown() == before


async def test_how_old_figures_are_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation()
    del installation.answers["schedules"]
    await installation.shown()

    def age(name: str) -> float | None:
        return installation.registry.get_sample_value("recoup_figures_age_seconds", {"figures": name})

    assert age("schedules") == -1.0
    assert 0.0 <= (age("operating") or 0.0) < 60.0


async def test_a_long_proof_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating_metrics, "LEDGER_WAIT_S", 0.01)
    monkeypatch.setattr(operating_metrics, "LEDGER_PATIENCE_S", 60)
    over, begun = asyncio.Event(), []

    async def prove() -> LedgerFigures:
        begun.append(1)
        await over.wait()
        return LedgerFigures(accounts=5, unsound=2)

    async def unasked() -> Any:
        raise Unavailable("not asked here")

    metrics = OperatingMetrics(
        registry := CollectorRegistry(), lambda: Reads(unasked, prove, unasked, unasked)
    )
    await metrics.refresh()
    await metrics.refresh()
    assert (begun, registry.get_sample_value("recoup_ledger_unsound_accounts")) == ([1], 0.0)
    over.set()
    monkeypatch.setattr(operating_metrics, "LEDGER_WAIT_S", 60)
    await metrics.refresh()
    assert registry.get_sample_value("recoup_ledger_unsound_accounts") == 2.0
    await metrics.aclose()
