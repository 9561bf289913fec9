"""The benchmarks measure the whole way, small: their figures mean nothing here."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox.processes import ended, until


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "bench", *words]


def folders(below: Path, inside: str = "*") -> list[Path]:
    """What lies in the folders of benchmarks."""
    return list(below.glob(f"recoup-bench-{inside}"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary folders of this test's own, so that what is left behind is seen."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    return {**inherited, "TMPDIR": str(tmp_path)}


@pytest.fixture
def measured(environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        command(
            *("import", "admission", "scoring", "reconciliation"),
            *("--rows", "2000", "--accounts", "20", "--repeat", "1", "--json"),
        ),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(240)
def test_bench_measures_each_promise_against_its_floor(measured: dict[str, Any], tmp_path: Path) -> None:
    imported, admitted, scored = measured["import"], measured["admission"], measured["scoring"]
    reconciled = measured["reconciliation"]
    assert (reconciled["accounts"], reconciled["lines"]) == (2000, 1980)
    # One in ten has another balance, one in fifty another status, one in a hundred is on one side only.
    assert reconciled["breaks"] == 200 + 40 + 20 + 20
    assert reconciled["ratio"] == pytest.approx(reconciled["reconciliation_s"] / reconciled["floor_s"])
    assert reconciled["again_s"] > 0
    assert scored["accounts"] == 2000
    assert scored["ratio"] == pytest.approx(scored["scoring_s"] / scored["floor_s"])
    assert scored["unchanged_s"] > 0
    assert scored["peak_bytes"] > 10 << 20
    assert imported["rows"] == 2000
    assert imported["ratio"] == pytest.approx(imported["import_s"] / imported["floor_s"])
    assert set(imported["phases_s"]) == {
        "stage",
        "merge debtors",
        "merge accounts",
        "search index",
        "scoring",
    }
    # A phase that is looked for under a name that the product no longer uses would take no time.
    assert all(seconds > 0 for seconds in imported["phases_s"].values())
    assert imported["fingerprint_s"] > 0
    in_turn = ("stage", "merge debtors", "merge accounts")
    assert sum(imported["phases_s"][name] for name in in_turn) < imported["import_s"]
    assert all(seconds > 0 for seconds in imported["floor_tables_s"].values())
    assert imported["peak_bytes"] > 50 << 20
    assert admitted["accounts"] == 20
    assert admitted["ratio"] == pytest.approx(admitted["admitted_per_s"] / admitted["bare_per_s"])
    assert not folders(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_bench_leaves_no_process_and_no_folder(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    bench = await asyncio.create_subprocess_exec(
        *command("import", "--rows", "100000"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    children: list[psutil.Process] = []

    async def worker_runs() -> bool:
        children[:] = psutil.Process(bench.pid).children(recursive=True)
        return bool(folders(tmp_path, "*/logs/worker.log"))

    await until(worker_runs, within_s=60, what="the worker of the bench")
    bench.send_signal(number)
    output, _ = await asyncio.wait_for(bench.communicate(), 40)
    assert bench.returncode == code, output.decode()
    assert len(children) >= 3
    assert not await ended(children, within_s=5)
    assert not folders(tmp_path)


def test_an_unknown_benchmark_is_named_with_those_that_exist(environment: dict[str, str]) -> None:
    done = subprocess.run(
        command("worklists"), env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    known = "import, admission, scoring, worklist, transition, payments, reconciliation"
    assert done.stderr.strip() == f"unknown benchmarks worklists; there are {known}"
