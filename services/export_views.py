"""Exports as callers ask for them and see them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import Field

from services.export_lists import ExportList
from services.fields import Form, View

if TYPE_CHECKING:
    from db.models import ExportJob

MAX_FILTERS = 50


class ExportForm(Form):
    """A list that is to be written into a file, narrowed by the query parameters of that list."""

    list: ExportList
    filters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MAX_FILTERS,
        description="the list's query parameters by name, a list of values where one may be repeated;"
        " `account_id` of contacts and timeline, `import_id` of import_errors",
        examples=[{"status": ["new", "assigned"], "min_balance": "100.00"}],
    )
    format: Literal["csv"] = "csv"


class ExportView(View):
    """An export and how far it is.

    ``rows`` and ``bytes`` are written so far. ``total``: rows to be expected, null where nobody counted them;
    ``progress`` is the share of them that is written, 0 to 1. ``available``: a link to the file can be had,
    until ``expires_at``.
    """

    id: UUID
    list: ExportList
    filters: dict[str, Any]
    format: str
    file_name: str
    status: str = Field(examples=["pending", "running", "completed", "failed"])
    rows: int
    total: int | None
    progress: float | None
    bytes: int
    sha256: str | None
    reason: str | None = Field(description="why it failed, and what to do")
    reason_type: str | None
    requested_by: str
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    available: bool
    created_at: datetime
    updated_at: datetime
    workflow_id: str
    web_ui_url: str


class ExportLink(View):
    """Where the file can be had by whoever has the link, until ``expires_at``."""

    url: str
    expires_at: datetime


def file_name_of(job: "ExportJob") -> str:
    """The name of an export's file: of the list, the day it was asked for (UTC) and the end of its id."""
    return f"{job.list_name}-{job.created_at:%Y-%m-%d}-{job.id.hex[-8:]}.{job.format}"


def export_view(job: "ExportJob", workflow_id: str, web_ui_url: str, *, now: datetime) -> ExportView:
    """An export as it stands at ``now``."""
    return ExportView(
        id=job.id,
        list=ExportList(job.list_name),
        filters=job.filters,
        format=job.format,
        file_name=file_name_of(job),
        status=job.status,
        rows=job.rows_written,
        total=job.total,
        progress=_progress(job),
        bytes=job.bytes_written,
        sha256=job.sha256,
        reason=job.reason,
        reason_type=job.reason_type,
        requested_by=job.requested_by,
        started_at=job.started_at,
        completed_at=job.completed_at,
        expires_at=job.expires_at,
        available=is_available(job, now),
        created_at=job.created_at,
        updated_at=job.updated_at,
        workflow_id=workflow_id,
        web_ui_url=web_ui_url,
    )


def is_available(job: "ExportJob", now: datetime) -> bool:
    """Whether the file of an export can be had."""
    return job.expires_at is not None and job.removed_at is None and now < job.expires_at


def _progress(job: "ExportJob") -> float | None:
    if job.status == "completed":
        return 1.0
    if job.status == "pending":
        return 0.0
    return min(job.rows_written / job.total, 1.0) if job.total else None
