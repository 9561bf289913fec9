"""Links that a store signs, and stores that sign none."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateways.storage import ObjectStorage


async def test_a_bucket_signs_links_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    url = await ObjectStorage("s3://bucket/prefix").signed_url("agencies/a/1.csv", timedelta(minutes=5))
    assert url is not None
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert parts.scheme == "https"
    assert parts.path == "/bucket/prefix/agencies/a/1.csv"
    assert query["X-Amz-Expires"] == ["300"]
    assert query["X-Amz-Signature"]


async def test_a_folder_signs_none(tmp_path: Path) -> None:
    storage = ObjectStorage(f"file://{tmp_path}")
    assert await storage.signed_url("agencies/a/1.csv", timedelta(minutes=5)) is None
