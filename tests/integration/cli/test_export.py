"""`recoup export`, as an operator runs it: a process, its output, its files and its exit code."""

import csv
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.test_score import ACCOUNTS, Shop, shop

__all__ = ["shop"]


@pytest.fixture(scope="module", autouse=True)
async def at_work(shop: Shop) -> AsyncIterator[None]:
    async with shop.working():
        yield


async def export(shop: Shop, *words: str, code: int = 0) -> tuple[str, str]:
    """Output and errors of a whole `recoup export`, which must end with ``code``."""
    ended, out, err = await shop.command_line.run("export", *words, "--agency", "acme", **shop.environment)
    assert ended == code, err
    return out, err


async def test_a_list_becomes_a_file_whole_or_not_at_all(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    out, _ = await export(
        shop, "accounts", "--filter", "status=new", "--filter", "ordering=-balance", "--out", str(path)
    )
    assert f"{ACCOUNTS:,} rows" in out
    assert str(path) in out.replace("\n", "")
    with path.open(encoding="utf-8-sig", newline="") as fh:
        rows = list(csv.DictReader(fh))
    balances = [float(row["current_balance"]) for row in rows]
    assert len(rows) == ACCOUNTS
    assert balances == sorted(balances, reverse=True)
    assert [entry.name for entry in os.scandir(tmp_path)] == [path.name]

    _, err = await export(shop, "accounts", "--out", str(path), code=1)
    assert "--force" in err
    await export(shop, "accounts", "--filter", "status=closed", "--out", str(path), "--force")
    assert path.read_bytes().count(b"\r\n") == 1


async def test_a_pipe_and_json(shop: Shop) -> None:
    out, err = await export(shop, "debtors", "--filter", "debtor_ref=7", "--out", "-")
    assert out.count("\n") == 2
    assert "1 rows" in err
    said, _ = await export(shop, "imports", "--json")
    summary = json.loads(said)
    assert (summary["status"], summary["rows"], summary["available"]) == ("completed", 0, True)
    assert summary["url"].startswith("http://127.0.0.1:")
    assert summary["requested_by"].startswith("operator:")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("secrets",), 1, "there is no list"),
        (("accounts", "--filter", "status"), 1, "status=value"),
        (("accounts", "--filter", "stauts=new"), 1, "no such filter"),
        (("accounts", "--filter", "status=open"), 1, "filters.status"),
        (("accounts", "--out", "-", "--json"), 1, "choose one"),
        (("accounts", "--force"), 1, "--out"),
        (("accounts", "--out", "/nowhere/a.csv"), 1, "no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_what_is_wrong_is_said_in_a_line(
    shop: Shop, words: tuple[str, ...], code: int, says: str
) -> None:
    _, err = await export(shop, *words, code=code)
    assert says in err
    assert "Traceback" not in err
