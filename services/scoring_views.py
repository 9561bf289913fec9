"""Scoring runs as callers see them: progress, speed, time left, what they came to."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from domain.money import LargeMoney, Money
from domain.scoring import RiskLevel
from services.fields import View
from services.progress import ENDS

if TYPE_CHECKING:
    from db.models import ScoringError, ScoringRun


class ScorecardRef(View):
    """The scorecard that a run scores by."""

    name: str
    version: int


class TopAccount(View):
    """One of the best accounts to work."""

    account_id: UUID
    external_ref: str
    priority_score: LargeMoney
    risk_score: int
    risk_level: str


class ScoringRunView(View):
    """A scoring run and how far it is; ``total`` to ``high_priority`` and ``levels`` count accounts."""

    id: UUID
    status: str = Field(examples=["pending", "running", "completed", "failed"])
    origin: str = Field(examples=["manual", "schedule", "import"])
    import_id: UUID | None
    requested_by: str
    scorecard: ScorecardRef
    threshold: Money | None = Field(description="of the priority score; null: the scorecard's own")
    batch_size: int
    total: int
    scored: int
    changed: int = Field(description="accounts whose score was new or another than before")
    errors: int
    levels: dict[str, int] = Field(description="accounts by risk level, once the run has ended")
    high_priority: int
    chunks: int
    chunks_done: int
    top: tuple[TopAccount, ...] = Field(description="the agency's best accounts when the run ended")
    rows_per_second: float | None
    eta_seconds: int | None = Field(description="an estimate; null when it cannot be told")
    reason: str | None = Field(description="why it failed")
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    web_ui_url: str


class ScoringErrorView(View):
    """An account that a run could not score; its former score stands."""

    account_id: UUID
    error: str


_COMPUTED = {"scorecard", "levels", "top", "rows_per_second", "eta_seconds", "web_ui_url"}


def run_view(
    run: "ScoringRun", scorecard: tuple[str, int], web_ui_url: str, *, now: datetime | None = None
) -> ScoringRunView:
    """The view of a run as it stands at ``now``; ``scorecard`` is its name and version."""
    name, version = scorecard
    elapsed = elapsed_s(run.started_at, run.completed_at, now or datetime.now(UTC))
    return ScoringRunView(
        **{name: getattr(run, name) for name in ScoringRunView.model_fields if name not in _COMPUTED},
        scorecard=ScorecardRef(name=name, version=version),
        levels=by_level(run.levels),
        top=tuple(top_account(best) for best in run.top),
        rows_per_second=rate(run.scored + run.errors, elapsed),
        eta_seconds=_eta_s(run, elapsed),
        web_ui_url=web_ui_url,
    )


def by_level(levels: Mapping[str, int]) -> dict[str, int]:
    """Counts for every risk level, the lowest first."""
    return {str(level): int(levels.get(level, 0)) for level in RiskLevel}


def top_account(best: Mapping[str, Any]) -> TopAccount:
    """One of the best accounts, from its ``rank`` (priority score in cents), ``total`` and ``level``."""
    return TopAccount(
        account_id=best["account_id"],
        external_ref=best["external_ref"],
        priority_score=Decimal(best["rank"]) / 100,
        risk_score=best["total"],
        risk_level=best["level"],
    )


def error_view(error: "ScoringError") -> ScoringErrorView:
    """An error as callers see it."""
    return ScoringErrorView.model_validate(error)


def elapsed_s(started_at: datetime | None, completed_at: datetime | None, now: datetime) -> float:
    """Seconds that something has taken so far or took."""
    if started_at is None:
        return 0.0
    return max(((completed_at or now) - started_at).total_seconds(), 0.0)


def rate(count: int, elapsed: float) -> float | None:
    """``count`` a second; None when that cannot be told."""
    return round(count / elapsed, 1) if elapsed and count else None


def _eta_s(run: "ScoringRun", elapsed: float) -> int | None:
    if run.status in ENDS:
        return 0
    done = run.scored + run.errors
    return round(elapsed * max(run.total - done, 0) / done) if done and elapsed else None
