"""Imports as callers see them: progress, speed, time left, and the problems found."""

from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field

from services.fields import View

if TYPE_CHECKING:
    from db.models import ImportJob, ImportProblem

PASSES = 2
"""Every bucket is merged twice: its debtors, then its accounts."""

STAGING_SHARE = 0.15
"""About how much of an import's time reading and judging the file takes; merging takes the rest."""


class ImportView(View):
    """An import and how far it is. Bytes are those of the file as it was sent."""

    id: UUID
    file_name: str
    channel: str = Field(examples=["sftp", "upload"])
    source_id: UUID | None
    status: str = Field(examples=["pending", "processing", "completed", "failed"])
    phase: str = Field(description="what is being done now, or how it ended")
    total_records: int
    processed_ok: int
    processed_errors: int
    warnings: int
    accounts_created: int
    accounts_updated: int
    bytes_total: int
    bytes_done: int
    rows_per_second: float | None
    eta_seconds: int | None = Field(description="an estimate; null when it cannot be told")
    unknown_columns: tuple[str, ...]
    reason: str | None = Field(description="why it failed, and what to do")
    reason_type: str | None
    requested_by: str
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    web_ui_url: str


class ImportProblemView(View):
    """What is wrong with one cell: line 1 is the header, ``column`` is empty for the whole record."""

    line: int
    column: str
    value: str
    error: str
    severity: str


class PollView(View):
    """The poll that was asked for, or the one that is at work."""

    workflow_id: str
    run_id: str | None
    web_ui_url: str


def import_view(job: "ImportJob", web_ui_url: str, *, now: datetime | None = None) -> ImportView:
    """The view of an import as it stands at ``now``."""
    elapsed = _elapsed_s(job, now or datetime.now(UTC))
    return ImportView(
        **{
            name: getattr(job, name)
            for name in ImportView.model_fields
            if name not in {"file_name", "rows_per_second", "eta_seconds", "web_ui_url"}
        },
        file_name=PurePath(job.file_name).name,
        rows_per_second=round(job.total_records / elapsed, 1) if elapsed and job.total_records else None,
        eta_seconds=_eta_s(job, elapsed),
        web_ui_url=web_ui_url,
    )


def _elapsed_s(job: "ImportJob", now: datetime) -> float:
    if job.started_at is None:
        return 0.0
    return max(((job.completed_at or now) - job.started_at).total_seconds(), 0.0)


def _eta_s(job: "ImportJob", elapsed: float) -> int | None:
    if job.status in {"completed", "failed"}:
        return 0
    done = share_done(job)
    return round(elapsed * (1 - done) / done) if done and elapsed else None


def share_done(job: "ImportJob") -> float:
    """The share of an import's work that is done, 0 to 1."""
    staged = min(job.bytes_done / job.bytes_total, 1.0) if job.bytes_total else 0.0
    merged = min(job.buckets_done / (PASSES * job.buckets), 1.0) if job.buckets else 0.0
    return STAGING_SHARE * staged + (1 - STAGING_SHARE) * merged


def problem_view(problem: "ImportProblem") -> ImportProblemView:
    """A problem as callers see it."""
    return ImportProblemView.model_validate(problem)
