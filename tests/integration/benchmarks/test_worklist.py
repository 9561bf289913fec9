"""The benchmark of the worklist measures the whole way, small: its figures mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.turns import percentile


@pytest.mark.timeout(200)
def test_bench_measures_pages_of_the_worklist_against_their_sql(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    words = ("bench", "worklist", "--rows", "3000", "--requests", "20", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env={**inherited, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["worklist"]

    assert (measured["accounts"], measured["requests"]) == (3000, 20)
    # Nine accounts in ten are queued, and the last full page of 500 before the end is the deepest.
    assert measured["deep"]["depth"] == 2500
    assert measured["first"]["depth"] == 0
    for page in (measured["first"], measured["deep"]):
        assert 0 < page["sql_p50_ms"] <= page["sql_p99_ms"]
        assert 0 < page["http_p50_ms"] <= page["http_p99_ms"]
        assert page["ratio"] == pytest.approx(page["http_p99_ms"] / page["sql_p99_ms"])
    assert not list(tmp_path.glob("recoup-bench-*"))


def test_percentiles_are_by_nearest_rank() -> None:
    hundred = [float(n) for n in range(1, 101)]

    assert percentile(hundred, 99) == 99
    assert percentile(hundred, 50) == 50
    assert percentile([7.0], 99) == 7
    assert percentile([3.0, 1.0, 2.0], 99) == 3
