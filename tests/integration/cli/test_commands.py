"""`recoup`, as it is typed: what it refuses and how it prints data that looks like markup."""

from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from cli.consoles import plain_console
from sandbox.ports import free_port
from tests.command_line import CommandLine


@pytest.mark.parametrize("name", ["Makefile", "[x].txt", "x.csv.done", "x.csv.zip"])
async def test_a_name_that_no_poll_takes_is_not_uploaded(
    command_line: CommandLine, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("x")
    code, out, err = await command_line.run("sftp-upload", str(tmp_path / name))
    assert (code, out) == (1, "")
    assert f"{name} would lie in the inbox for ever: a poll takes *.csv and *.csv.gz" in err


@pytest.mark.parametrize("command", ["dev", "demo", "seed"])
async def test_production_refuses_the_sandbox_before_all_else(
    command_line: CommandLine, command: str
) -> None:
    code, out, err = await command_line.run(command, RECOUP_ENV="production")
    assert (code, out) == (1, "")
    assert "refused in production" in err
    assert "JWT" not in err


async def test_production_migrates_as_the_owner_that_is_named(
    command_line: CommandLine,
) -> None:
    production: dict[str, Any] = {
        "RECOUP_ENV": "production",
        "RECOUP_JWT_SECRET": "x" * 40,
        "RECOUP_COLUMN_KEYS": "a:" + "QUFB" * 10 + "QUE=",
        "RECOUP_PAYLOAD_KEYS": "b:" + "QkJC" * 10 + "QkI=",
        "RECOUP_DATABASE_URL": "postgresql://recoup_app@127.0.0.1/recoup",
        "RECOUP_TEMPORAL_ADDRESS": "127.0.0.1:7233",
        "RECOUP_STORAGE_URL": "file:///tmp",
        "RECOUP_PUBLIC_URL": "https://recoup.test",
        "RECOUP_DATABASE_OWNER_URL": "",
    }
    code, _, err = await command_line.run("migrate", **production)
    assert (code, "RECOUP_DATABASE_OWNER_URL must be set" in err) == (1, True)


@pytest.mark.parametrize("command", ["ledger", "scores", "compliance", "payments"])
async def test_an_audit_that_reaches_no_database_is_told_from_one_that_finds_a_breach(
    command_line: CommandLine, command: str
) -> None:
    nowhere = f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none"
    code, out, err = await command_line.run("audit", command, "--json", RECOUP_DATABASE_URL=nowhere)
    assert (code, out) == (75, "")
    assert "the database does not answer" in err
    assert "secret" not in err


def test_data_is_printed_as_it_is_and_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    data = "[red]x[/nothing] :smile: " + "y" * 300
    console = plain_console()
    console.print(f"^[a-z]*$ {data}")
    table = Table("head", title="[/title]")
    table.add_row(data)
    console.print(table)
    line, *rest = capsys.readouterr().out.splitlines()
    assert line == f"^[a-z]*$ {data}"
    assert any(data in row for row in rest)
    assert any("[/title]" in row for row in rest)
