"""How far a scoring run is, in numbers, and what it came to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from db.models import ScoringRun
from services.scoring_views import ScoringRunView, run_view

START = datetime(2026, 5, 4, 3, 30, tzinfo=UTC)


def view(after_s: float = 0, **values: Any) -> ScoringRunView:
    """A run as it stands some seconds after it began."""
    run = ScoringRun(
        **{
            "id": UUID(int=1),
            "agency_id": UUID(int=2),
            "status": "running",
            "origin": "manual",
            "requested_by": "test",
            "threshold": Decimal(500_000),
            "batch_size": 25_000,
            "total": 0,
            "scored": 0,
            "changed": 0,
            "errors": 0,
            "levels": {},
            "high_priority": 0,
            "chunks": 0,
            "chunks_done": 0,
            "top": [],
            "started_at": START,
            "created_at": START,
            "updated_at": START,
            **values,
        }
    )
    return run_view(run, ("recovery-v1", 1), "http://ui", now=START + timedelta(seconds=after_s))


def test_what_has_not_begun_has_no_speed_and_no_end() -> None:
    waiting = view(60, status="pending", started_at=None)

    assert (waiting.rows_per_second, waiting.eta_seconds) == (None, None)
    assert waiting.levels == {"LOW": 0, "MEDIUM": 0, "HIGH": 0, "CRITICAL": 0}


@pytest.mark.parametrize(
    ("after_s", "scored", "errors", "rate", "eta"),
    [(10, 0, 0, None, None), (0, 500, 0, None, None), (10, 250, 0, 25.0, 30), (10, 900, 100, 100.0, 0)],
)
def test_speed_and_time_left_count_what_could_not_be_scored_too(
    after_s: float, scored: int, errors: int, rate: float | None, eta: int | None
) -> None:
    going = view(after_s, total=1000, scored=scored, errors=errors)

    assert (going.rows_per_second, going.eta_seconds) == (rate, eta)


def test_an_ended_run_has_the_speed_it_had_and_nothing_left() -> None:
    over = view(
        9999,
        status="failed",
        total=1000,
        scored=400,
        completed_at=START + timedelta(seconds=8),
        reason="the model failed",
    )

    assert (over.rows_per_second, over.eta_seconds, over.reason) == (50.0, 0, "the model failed")


def test_amounts_are_exact_strings_however_large() -> None:
    best = {"account_id": str(UUID(int=3)), "external_ref": "A-1", "total": 450, "level": "CRITICAL"}
    over = view(top=[{**best, "rank": 44_999_999_999_955}, {**best, "rank": -1}], levels={"CRITICAL": 2})

    shown = over.model_dump(mode="json")
    assert [account["priority_score"] for account in shown["top"]] == ["449999999999.55", "-0.01"]
    assert (shown["threshold"], shown["levels"]["CRITICAL"]) == ("500000.00", 2)
    assert over.top[0].external_ref == "A-1"
