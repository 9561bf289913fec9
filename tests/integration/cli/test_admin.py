"""`recoup admin`, as an operator runs it: a process, its output and its exit code."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from temporalio.client import Client

from sandbox.ports import free_port
from tests.command_line import CommandLine
from workers.deployment import ensure_search_attributes

PASSWORD = "correct horse battery"


class Recoup:
    """Runs `recoup admin` with the settings of this module."""

    def __init__(self, driver: asyncio.subprocess.Process) -> None:
        self._driver = driver

    async def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        """Output and errors of a run, which must end with ``code``."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps({"arguments": arguments, "stdin": stdin}).encode() + b"\n")
        answer = json.loads(await self._driver.stdout.readline())
        assert answer["code"] == code, answer["err"]
        assert "Traceback" not in answer["err"]
        return answer["out"], answer["err"]

    async def json(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that a run printed."""
        out, _ = await self(*arguments, "--json", stdin=stdin)
        return json.loads(out)


@pytest.fixture(scope="module")
async def recoup(
    module_database: Any, temporal_client: Client, temporal_server: Any
) -> AsyncIterator[Recoup]:
    """The command line over this module's database."""
    await ensure_search_attributes(temporal_client)
    environment = {
        "RECOUP_DATABASE_URL": module_database.app_url,
        "RECOUP_TEMPORAL_ADDRESS": temporal_server.address,
        "RECOUP_TEMPORAL_NAMESPACE": temporal_client.namespace,
        "COLUMNS": "200",
    }
    driver = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("admin_driver.py")),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield Recoup(driver)
    assert driver.stdin is not None
    driver.stdin.close()
    assert await driver.wait() == 0


async def test_a_production_system_is_set_up_without_sql(
    recoup: Recoup, tmp_path: Path, temporal_client: Client
) -> None:
    line = f"{PASSWORD}\n"
    admin = await recoup.json(
        "create-platform-admin", "--username", "root.admin", "--full-name", "Root", stdin=line
    )
    assert (admin["role"], admin["agency_id"]) == ("platform_admin", None)
    agency = await recoup.json("create-agency", "--slug", "acme", "--name", "Acme Recovery")
    schedules = {entry.id async for entry in await temporal_client.list_schedules()}
    assert any(agency["id"] in schedule for schedule in schedules)
    person = ("--username", "c.one", "--full-name", "Collector One", "--role", "collector")
    await recoup.json("create-user", "--agency", "acme", *person, stdin=line)
    collector = ("--username", "c.one", "--max-accounts", "50")
    assert (await recoup.json("create-collector", "--agency", "acme", *collector))["max_accounts"] == 50
    creditor = await recoup.json("create-creditor", "--agency", agency["id"], "--name", "First Bank")
    await recoup.json("create-creditor", "--agency", "acme", "--name", "[/x] [red]Bank :smile:")
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "host.pub").write_bytes(key.export_public_key())
    (tmp_path / "profile.json").write_text('{"delimiter": ";"}')
    source = await recoup.json(
        *("create-sftp-source", "--agency", "acme", "--name", "First Bank", "--host", "sftp.example.com"),
        *("--username", "acme", "--host-key", str(tmp_path / "host.pub"), "--creditor", "First Bank"),
        *("--profile", str(tmp_path / "profile.json")),
        stdin="s3cret\n",
    )
    assert source["has_password"] is True
    assert source["creditor_id"] == creditor["id"]
    assert source["profile"]["delimiter"] == ";"
    assert "s3cret" not in json.dumps(source)
    assert (await recoup.json("rotate-keys")) == {"seen": 1, "rotated": 0}
    kept = await recoup.json("retention")
    assert (kept["years"], kept["months"]) == (3, [])
    said, _ = await recoup("retention")
    assert f"after {kept['activity_until']}. Nothing was changed" in " ".join(said.split())
    changed = await recoup.json("set-password", "--username", "c.one", stdin="another password\n")
    assert changed["username"] == "c.one"
    assert (await recoup.json("unlock", "c.one")) == changed

    [listed] = await recoup.json("list-agencies")
    assert listed == agency
    assert [row["username"] for row in await recoup.json("list-users", "--agency", "acme")] == ["c.one"]
    for command, shown in (
        ("list-collectors", "Collector One"),
        ("list-creditors", "First Bank"),
        ("list-creditors", "[/x] [red]Bank :smile:"),
        ("list-sftp-sources", "sftp.example.com"),
    ):
        out, _ = await recoup(command, "--agency", "acme")
        assert shown in out


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("create-creditor", "--agency", "atlantis", "--name", "X"), "", 1, "no agency"),
        (
            ("create-agency", "--slug", "Bad Slug", "--name", "X"),
            "",
            2,
            "--slug: String should match pattern '^[a-z][",
        ),
        (("create-creditor", "--agency", "[/x]", "--name", "X"), "", 1, "no agency “[/x]”"),
        (
            ("create-platform-admin", "--username", "short", "--full-name", "S"),
            "hush\n",
            2,
            "8 to 128 characters",
        ),
        (("set-password", "--username", "nobody"), "long enough\n", 1, "no user"),
        (("unlock", "nobody"), "", 1, "no user"),
        (("create-user", "--agency", "x", "--username", "u"), "", 2, "Missing option"),
    ],
)
async def test_refusals_say_what_to_mend(
    recoup: Recoup, arguments: tuple[str, ...], stdin: str, code: int, says: str
) -> None:
    out, err = await recoup(*arguments, stdin=stdin, code=code)
    assert says in err
    assert out == ""
    assert "hush" not in err


@pytest.mark.parametrize(
    ("host_key", "more", "said"),
    [
        (b"\xff\xfe\x00", [], "h cannot be read as text"),
        (b"", ["--profile", "h"], "h is no JSON"),
        (b"", ["--private-key", "absent"], "absent cannot be read as text"),
        (b"", ["--private-key", "."], ". cannot be read as text"),
    ],
    ids=["no-text", "no-profile", "no-key", "a-folder"],
)
async def test_files_that_are_none_are_named(
    command_line: CommandLine, tmp_path: Path, host_key: bytes, more: list[str], said: str
) -> None:
    (tmp_path / "h").write_bytes(host_key)
    where = ["--agency", "acme", "--name", "First Bank", "--host", "sftp.example.com", "--username", "acme"]
    code, _, err = await command_line.run(
        "admin", "create-sftp-source", *where, "--host-key", "h", *more, cwd=tmp_path
    )
    assert (code, said in err, "Traceback" in err) == (2, True, False), err


async def test_a_database_that_is_away_is_worth_another_try(command_line: CommandLine) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    code, out, err = await command_line.run("admin", "list-agencies", RECOUP_DATABASE_URL=nowhere)
    assert (code, out) == (75, "")
    assert "the database does not answer" in err


async def test_passwords_are_no_arguments(recoup: Recoup) -> None:
    for command in ("create-platform-admin", "create-user", "set-password", "create-sftp-source"):
        out, _ = await recoup(command, "--help")
        assert "--password" not in out
