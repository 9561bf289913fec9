"""The benchmark of account updates measures the whole way, small: its figures mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(200)
def test_bench_measures_transitions_against_an_update_that_does_nothing(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "bench", "transition", "--requests", "80", "--json"],
        env={**inherited, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["transition"]

    assert (measured["updates"], measured["at_once"]) == (80, 16)
    for way in (measured["sequential"], measured["concurrent"]):
        assert 0 < way["transition_p50_ms"] <= way["transition_p99_ms"]
        assert 0 < way["bare_p50_ms"] <= way["bare_p99_ms"]
        assert way["ratio"] == pytest.approx(way["transition_p50_ms"] / way["bare_p50_ms"])
        assert way["transition_p50_ms"] > way["bare_p50_ms"]
        assert min(way["transitions_per_s"], way["bare_per_s"]) > 1
    assert not list(tmp_path.glob("recoup-bench-*"))
