"""The benchmarks of requests measure the whole way, small: their figures mean nothing here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_bench_measures_transitions_and_payments_against_their_floors(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "bench", "transition", "payments", "--requests", "20", "--json"],
        env={**inherited, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)

    assert (measured["transition"]["updates"], measured["payments"]["payments"]) == (20, 20)
    assert measured["payments"]["activities"] == 3, "made, confirmed, recorded"
    for bench, what in (("transition", "transition"), ("payments", "payment")):
        assert measured[bench]["at_once"] == 16
        for way in (measured[bench]["sequential"], measured[bench]["concurrent"]):
            assert 0 < way[f"{what}_p50_ms"] <= way[f"{what}_p99_ms"]
            assert 0 < way["bare_p50_ms"] <= way["bare_p99_ms"]
            assert way["ratio"] == pytest.approx(way[f"{what}_p50_ms"] / way["bare_p50_ms"])
            assert way["ratio_of_rates"] == pytest.approx(way[f"{what}s_per_s"] / way["bare_per_s"])
            assert way[f"{what}_p50_ms"] > way["bare_p50_ms"]
    assert not list(tmp_path.glob("recoup-bench-*"))
