"""How far an import is, in words and numbers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from db.models import ImportJob
from services.import_views import PASSES, STAGING_SHARE, import_view, share_done

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def job(**values: Any) -> ImportJob:
    """An import that was asked for and has not begun."""
    return ImportJob(
        **{
            "id": UUID(int=1),
            "agency_id": UUID(int=2),
            "channel": "sftp",
            "file_name": "march.csv",
            "sha256": "0" * 64,
            "status": "pending",
            "phase": "waiting",
            "total_records": 0,
            "processed_ok": 0,
            "processed_errors": 0,
            "warnings": 0,
            "accounts_created": 0,
            "accounts_updated": 0,
            "bytes_total": 1000,
            "bytes_done": 0,
            "buckets": 0,
            "buckets_done": 0,
            "unknown_columns": [],
            "requested_by": "test",
            "created_at": START,
            "updated_at": START,
            **values,
        }
    )


def test_what_has_not_begun_has_no_speed_and_no_end() -> None:
    view = import_view(job(), "http://ui", now=START)

    assert (view.rows_per_second, view.eta_seconds) == (None, None)


def test_half_of_the_file_read_is_half_of_the_staging() -> None:
    view = import_view(
        job(status="processing", started_at=START, bytes_done=500, total_records=600),
        "http://ui",
        now=START + timedelta(seconds=30),
    )

    share = STAGING_SHARE / 2
    assert view.rows_per_second == 20
    assert view.eta_seconds == round(30 * (1 - share) / share)


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_has_ended_is_measured_to_its_end(status: str) -> None:
    ended = job(
        status=status, started_at=START, completed_at=START + timedelta(seconds=10), total_records=100
    )

    view = import_view(ended, "http://ui", now=START + timedelta(hours=9))

    assert (view.rows_per_second, view.eta_seconds) == (10, 0)


def test_the_share_grows_to_one() -> None:
    shares = [
        share_done(job(bytes_done=done, buckets=buckets, buckets_done=merged))
        for done, buckets, merged in [
            (0, 0, 0),
            (900, 0, 0),
            (1000, 4, 0),
            (1000, 4, 5),
            (1000, 4, 4 * PASSES),
        ]
    ]

    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_only_the_base_name_is_shown() -> None:
    assert import_view(job(file_name="/inbox/2026/march.csv"), "http://ui").file_name == "march.csv"
