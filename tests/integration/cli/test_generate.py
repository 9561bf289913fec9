"""`recoup generate`, as it is typed: files, the database, refusals, and Ctrl-C."""

import asyncio
import csv
import gzip
import io
import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.ports import free_port
from sandbox.processes import until
from tests.command_line import CommandLine

AGENCY = "INSERT INTO agency (slug, name) VALUES ('demo', 'Demo')"


Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(command_line: CommandLine) -> Run:
    """Exit code, output and errors of ``recoup generate`` with words and settings."""
    return partial(command_line.run, "generate")


@pytest.fixture
async def demo(database: Any) -> dict[str, str]:
    """The settings of a database that has the demo agency."""
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
        await link.execute(AGENCY)
    return {
        "RECOUP_DATABASE_URL": database.app_url,
        "RECOUP_DATABASE_OWNER_URL": database.owner_url,
        "RECOUP_TEMPORAL_ADDRESS": "127.0.0.1:9",
    }


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def count(database: Any) -> int:
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
        [found] = await (await link.execute("SELECT count(*) FROM account")).fetchone() or (0,)
        return int(found)


async def test_a_file_is_the_same_bytes_however_it_is_written(run: Run, tmp_path: Path) -> None:
    plain, packed = tmp_path / "p.csv", tmp_path / "p.csv.gz"
    answers = await asyncio.gather(
        run("--count", "700", "--csv", str(plain), "--json"),
        run("--count", "700", "--csv", str(packed)),
        run("--count", "700", "--csv", "-"),
        run("--count", "700", "--seed", "43", "--csv", "-"),
        run("--count", "700", "--distribution", "low-risk", "--csv", "-"),
    )
    assert [code for code, _, _ in answers] == [0] * 5
    (_, summary, _), (_, told, _), (_, piped, aside), (_, other_seed, _), (_, low, _) = answers
    assert json.loads(summary) | {"seconds": 0} == {
        "count": 700,
        "distribution": "balanced",
        "seed": 42,
        "prefix": "BAL-42",
        "file": str(plain),
        "bytes": plain.stat().st_size,
        "seconds": 0,
    }
    assert f"{packed}: 700 rows" in told
    assert "-: 700 rows" in aside
    assert plain.read_bytes() == gzip.decompress(packed.read_bytes()) == piped.encode()
    assert piped not in (other_seed, low)
    assert len(list(csv.DictReader(io.StringIO(piped)))) == 700
    assert files(tmp_path) == ["p.csv", "p.csv.gz"]


async def test_a_file_that_is_there_is_written_over_only_when_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("mine")
    code, _, err = await run("--count", "10", "--csv", str(path))
    assert (code, path.read_text()) == (1, "mine")
    assert f"{path} is there already; --force writes over it" in err
    code, _, _ = await run("--count", "10", "--csv", str(path), "--force")
    assert code == 0
    assert len(path.read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--count", "0"), 2, "--count"),
        (("--count", "-1"), 2, "--count"),
        (("--count", "10000001"), 2, "--count"),
        (("--count", "many"), 2, "--count"),
        (("--seed", "-1"), 2, "--seed"),
        (("--seed", "1000000000"), 2, "--seed"),
        (("--distribution", "chaotic"), 2, "'balanced', 'high-risk', 'low-risk'"),
        (("--csv", "x.txt"), 1, "must end in .csv or .csv.gz"),
        (("--csv", "/nowhere/x.csv"), 1, "/nowhere/x.csv cannot be written: No such file or directory"),
        (("--csv", "x.csv", "--clear"), 2, "leave out --clear and --no-scores"),
        (("--csv", "-", "--json"), 2, "choose one"),
        (("--force",), 2, "it goes with --csv"),
    ],
)
async def test_what_cannot_be_is_refused(
    run: Run, tmp_path: Path, words: tuple[str, ...], code: int, reason: str
) -> None:
    found, out, err = await run(*words, RECOUP_HOME=str(tmp_path))
    assert (found, out) == (code, "")
    assert reason in " ".join(err.replace("│", " ").split())


async def test_production_and_an_absent_database_are_one_line(run: Run) -> None:
    (code, _, err), (away, _, told) = await asyncio.gather(
        run("--count", "10", RECOUP_ENV="production"),
        run(
            *("--count", "10"),
            RECOUP_DATABASE_OWNER_URL=f"postgresql://recoup_owner@127.0.0.1:{free_port()}/recoup",
        ),
    )
    assert (code, len(err.splitlines())) == (1, 1)
    assert "refused in production" in err
    assert (away, len(told.splitlines())) == (75, 1)
    assert "the database does not answer" in told


async def test_in_the_database(run: Run, database: Any, demo: dict[str, str]) -> None:
    code, out, err = await run("--count", "400", "--json", **demo)
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert summary["agency"] == "demo"
    assert summary["accounts"] == sum(summary["levels"].values()) == await count(database) == 400
    code, out, err = await run("--count", "100", "--no-scores", "--seed", "7", "--agency", "demo", **demo)
    assert code == 0
    assert "100 accounts of" in out
    assert "not scored; to do so: recoup score --agency demo" in out
    code, _, err = await run("--count", "100", "--agency", "nobody", **demo)
    assert code == 1
    assert "there is no agency “nobody”" in err
    assert await count(database) == 500


async def test_ctrl_c_leaves_nothing_behind(
    command_line: CommandLine, database: Any, demo: dict[str, str], tmp_path: Path
) -> None:
    started = partial(command_line.start, "generate")
    into_database = await started("--count", "3000000", "--no-scores", **demo)
    into_file = await started("--count", "10000000", "--csv", str(tmp_path / "p.csv"))

    async def at_work() -> bool:
        async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
            copying = await link.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%%account%%'")
            return bool(copying.rowcount) and bool(files(tmp_path))

    await until(at_work, within_s=60, what="both to be at work")
    for process in (into_database, into_file):
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 130
        assert b"Traceback" not in err
    assert files(tmp_path) == []
    assert await count(database) == 0
