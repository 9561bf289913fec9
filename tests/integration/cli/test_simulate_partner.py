"""`recoup simulate-partner`, as it is typed: a file here, a file at the partner's, refusals."""

import asyncio
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.placed import place
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from sandbox.planted import read_truth
from tests.command_line import CommandLine


@dataclass
class Desk:
    """Somebody at a command line, in a folder of their own."""

    command_line: CommandLine
    settings: dict[str, str]
    here: Path

    async def run(self, *words: str, **settings: str) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        chosen = {**self.settings, **settings}
        return await self.command_line.run("simulate-partner", *words, cwd=self.here, **chosen)


@pytest.fixture
async def desk(database: Any, sftp_server: Any, command_line: CommandLine, tmp_path: Path) -> Desk:
    db = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    async with db.platform() as platform:
        agency = await platform.agencies.add({"slug": "demo", "name": "Demo"})
    async with db.transaction(Tenant.system(agency.id, "test")) as tx:
        await tx.creditors.add({"name": "House", "is_default": True})
        source = await tx.sources.add(
            {
                "name": "partners",
                "host": sftp_server.host,
                "port": sftp_server.port,
                "username": sftp_server.user,
                "host_key": sftp_server.host_key,
                "inbox": "/inbox",
            },
            {"password": sftp_server.password},
        )
        await tx.partners.add({"name": "northgate", "source_id": source.id})
        await tx.partners.add({"name": "nowhere"})
    await db.close()

    async def query(statement: str, *values: Any) -> None:
        async with await psycopg.AsyncConnection.connect(database.superuser_url) as link:
            await link.execute(statement.encode(), values)

    await place(query, agency.id, 100)
    here = tmp_path / "here"
    here.mkdir()
    settings = {"RECOUP_DATABASE_URL": database.app_url, "RECOUP_HOME": str(tmp_path / "home")}
    return Desk(command_line, settings, here)


async def test_a_statement_and_its_truth_are_written_here_or_sent(desk: Desk, sftp_server: Any) -> None:
    kept, sent = await asyncio.gather(
        desk.run("--partner", "northgate", "--seed", "7", "--out", "made/by", "--gzip", "--json"),
        desk.run(
            "--partner", "northgate", "--seed", "8", "--unknown", "0.05", "--upload", "--truth", "t.json"
        ),
    )
    assert kept[0] == 0, kept[2]
    summary = json.loads(kept[1])
    assert (summary["statement"], summary["truth"]) == (
        "made/by/northgate-7.csv.gz",
        "northgate-7.truth.json",
    )
    assert summary["counts"] == {"balance": 10, "duplicate": 1, "status": 20}
    assert summary["notes"][0].startswith("missing: 0 instead of 2: only open accounts that were sent")
    lines = gzip.decompress((desk.here / summary["statement"]).read_bytes()).splitlines()
    assert len(lines) == 1 + summary["lines"] == 102
    assert read_truth(desk.here / summary["truth"]).counts == summary["counts"]

    assert sent[0] == 0, sent[2]
    assert "/partners/northgate/northgate-8.csv: 106 lines about 100 of ours" in sent[1]
    assert "missing_here" in sent[1]
    placed = sftp_server.root / "partners" / "northgate" / "northgate-8.csv"
    assert len(placed.read_text().splitlines()) == 107
    assert read_truth(desk.here / "t.json").lines == 106


async def test_what_cannot_be_done_is_one_line(desk: Desk) -> None:
    (desk.here / "file").write_text("")
    answers = await asyncio.gather(
        desk.run("--partner", "northgate", "--missing", "2"),
        desk.run("--partner", "northgate", "--missing", "many"),
        desk.run("--partner", "northgate", "--upload", "--out", "x"),
        desk.run("--partner", "somebody"),
        desk.run("--partner", "nowhere", "--upload"),
        desk.run("--partner", "northgate", "--out", "file"),
        desk.run("--partner", "northgate", RECOUP_ENV="production"),
    )
    assert [(code, err.strip().splitlines()[-1]) for code, _, err in answers] == [
        (2, "missing: must be from 0 to 1, not 2"),
        (2, "shares are numbers from 0 to 1, such as 0.05"),
        (2, "--out keeps the statement here and --upload sends it: choose one"),
        (1, "error: there is no such partner"),
        (1, "error: nowhere has no SFTP source to upload to; write a file with --out"),
        (1, "error: file/northgate-42.csv cannot be written: File exists"),
        (1, "simulate-partner is refused in production (RECOUP_ENV=production): for development only"),
    ]
