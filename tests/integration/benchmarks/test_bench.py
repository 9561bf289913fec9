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

from benchmarks.turns import percentile
from sandbox.processes import ended, until
from tests.command_line import CommandLine

ROWS = 2000
REQUESTS = 10

# Whichever test comes first waits for all benchmarks.
pytestmark = pytest.mark.timeout(360)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "bench", *words]


def folders(below: Path, inside: str = "*") -> list[Path]:
    """What lies in the folders of benchmarks."""
    return list(below.glob(f"recoup-bench-{inside}"))


def below(folder: Path) -> dict[str, str]:
    """The environment with temporary folders of one's own, so that what is left behind is seen."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOUP_")}
    return {**inherited, "TMPDIR": str(folder)}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run of all benchmarks prints, of which nothing is left."""
    folder = tmp_path_factory.mktemp("bench")
    sizes = ("--rows", str(ROWS), "--accounts", "20", "--requests", str(REQUESTS), "--repeat", "1")
    done = subprocess.run(
        command(*sizes, "--json"),
        env={**below(folder), "RECOUP_CHROMIUM": str(folder / "chromium")},
        capture_output=True,
        text=True,
        check=False,
        timeout=340,
    )
    assert done.returncode == 0, done.stderr
    assert not folders(folder)
    return json.loads(done.stdout)


def test_all_are_measured_unless_some_are_named(measured: dict[str, Any]) -> None:
    everything = "import, admission, scoring, worklist, transition, payments, reconciliation, console"
    assert list(measured) == everything.split(", ")


def test_an_import_is_measured_by_its_phases_against_the_copies_of_its_tables(
    measured: dict[str, Any],
) -> None:
    imported = measured["import"]
    assert imported["rows"] == ROWS
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


def test_admission_is_measured_against_bare_workflows(measured: dict[str, Any]) -> None:
    admitted = measured["admission"]
    assert admitted["accounts"] == 20
    assert admitted["ratio"] == pytest.approx(admitted["admitted_per_s"] / admitted["bare_per_s"])


def test_scoring_is_measured_against_writing_as_many_rows(measured: dict[str, Any]) -> None:
    scored = measured["scoring"]
    assert scored["accounts"] == ROWS
    assert scored["ratio"] == pytest.approx(scored["scoring_s"] / scored["floor_s"])
    assert scored["unchanged_s"] > 0
    assert scored["peak_bytes"] > 10 << 20


def test_reconciliation_is_measured_against_one_join(measured: dict[str, Any]) -> None:
    reconciled = measured["reconciliation"]
    assert (reconciled["accounts"], reconciled["lines"]) == (2000, 1980)
    # One in ten has another balance, one in fifty another status, one in a hundred is on one side only.
    assert reconciled["breaks"] == 200 + 40 + 20 + 20
    assert reconciled["ratio"] == pytest.approx(reconciled["reconciliation_s"] / reconciled["floor_s"])
    assert reconciled["again_s"] > 0


def test_pages_of_the_worklist_are_measured_against_their_sql(measured: dict[str, Any]) -> None:
    listed = measured["worklist"]
    assert (listed["accounts"], listed["requests"]) == (ROWS, REQUESTS)
    # Nine accounts in ten are queued, and the last full page of 500 before the end is the deepest.
    assert listed["deep"]["depth"] == 1500
    assert listed["first"]["depth"] == 0
    for page in (listed["first"], listed["deep"]):
        assert 0 < page["sql_p50_ms"] <= page["sql_p99_ms"]
        assert 0 < page["http_p50_ms"] <= page["http_p99_ms"]
        assert page["ratio"] == pytest.approx(page["http_p99_ms"] / page["sql_p99_ms"])


@pytest.mark.parametrize(("bench", "what"), [("transition", "transition"), ("payments", "payment")])
def test_requests_are_measured_against_workflows_that_do_nothing(
    measured: dict[str, Any], bench: str, what: str
) -> None:
    found = measured[bench]
    assert found["updates" if bench == "transition" else "payments"] == REQUESTS
    assert found["at_once"] == 16
    for way in (found["sequential"], found["concurrent"]):
        assert 0 < way[f"{what}_p50_ms"] <= way[f"{what}_p99_ms"]
        assert 0 < way["bare_p50_ms"] <= way["bare_p99_ms"]
        assert way["ratio"] == pytest.approx(way[f"{what}_p50_ms"] / way["bare_p50_ms"])
        assert way["ratio_of_rates"] == pytest.approx(way[f"{what}s_per_s"] / way["bare_per_s"])


def test_a_payment_has_three_activities(measured: dict[str, Any]) -> None:
    assert measured["payments"]["activities"] == 3, "made, confirmed, recorded"


def test_pages_are_measured_against_the_json_of_the_same_data(measured: dict[str, Any]) -> None:
    looked = measured["console"]
    assert (looked["accounts"], looked["requests"]) == (ROWS, REQUESTS)
    deep = "worklist, behind 1,500"
    assert {"worklist", deep, "worklist, search", "account", "account, its timeline", "dashboard"} <= set(
        looked["pages"]
    )
    for one in looked["pages"].values():
        assert 0 < one["page"]["p50_ms"] <= one["page"]["p95_ms"]
        if one["json"]:
            assert one["ratio_p95"] == pytest.approx(one["page"]["p95_ms"] / one["json"]["p95_ms"])
    # A page of fifty accounts, one that has fewer, and none with an error in place of its data.
    assert looked["pages"]["worklist"]["page"]["bytes"] > looked["pages"]["worklist, search"]["page"]["bytes"]
    assert looked["pages"]["account"]["page"]["bytes"] > 5_000
    assert looked["empty_page"]["bytes"] < 2_500
    assert looked["pages"]["worklist, its count"]["page"]["bytes"] < 500, "a part, not the whole page"


def test_pages_that_listen_hear_of_progress_while_the_api_is_read(measured: dict[str, Any]) -> None:
    live = measured["console"]["live"]
    assert live["open_pages"] == REQUESTS
    assert live["slower"] == pytest.approx(live["beside"]["p50_ms"] / live["alone"]["p50_ms"])
    assert live["slower_at_once"] == pytest.approx(
        live["alone"]["reads_per_s"] / live["beside"]["reads_per_s"]
    )
    assert live["events_per_s"] > 0
    assert live["lag_p95_ms"] > 0


def test_without_a_browser_it_says_so(measured: dict[str, Any]) -> None:
    assert measured["console"]["browser"]["missing"].endswith("which is no program")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_bench_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    bench = await asyncio.create_subprocess_exec(
        *command("import", "--rows", "100000"),
        env=below(tmp_path),
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


async def test_an_unknown_benchmark_is_named_with_those_that_exist(command_line: CommandLine) -> None:
    code, _, said = await command_line.run("bench", "worklists")
    assert code == 1
    known = "import, admission, scoring, worklist, transition, payments, reconciliation, console"
    assert said.strip() == f"unknown benchmarks worklists; there are {known}"


def test_percentiles_are_by_nearest_rank() -> None:
    hundred = [float(n) for n in range(1, 101)]

    assert percentile(hundred, 99) == 99
    assert percentile(hundred, 50) == 50
    assert percentile([7.0], 99) == 7
    assert percentile([3.0, 1.0, 2.0], 99) == 3
