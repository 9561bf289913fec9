"""The examples of the documents, run as a reader runs them: one shell, block after block."""

import asyncio
import re
import sys
from pathlib import Path

from tests.e2e.conftest import Sandbox

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SAID = re.compile(r"# (\d{3}(?:(?: or)? \d{3})*)$", re.MULTILINE)
_ANSWERED = re.compile(r"^HTTP (\d{3})$", re.MULTILINE)
_PRELUDE = """set -eu -o pipefail
curl() { command curl --write-out '%{stderr}HTTP %{http_code}\\n' "$@"; }
"""
"""The shell stops at whatever goes wrong, and says how each request was answered."""


def examples(page: str, section: str = "") -> str:
    """The shell blocks of a page, or of one part of it."""
    text = (ROOT / page).read_text()
    if section:
        _, _, text = text.partition(f"\n## {section}\n")
        text, _, _ = text.partition("\n## ")
    return "".join(_BLOCK.findall(text))


def said(script: str) -> list[set[int]]:
    """The statuses that the examples promise, in order: for each request those that it may have."""
    lines = (line.replace(" or ", "|").split() for line in _SAID.findall(script))
    return [{int(status) for status in either.split("|")} for line in lines for either in line]


def refusals(printed: str) -> list[str]:
    """What problems among the answers say."""
    return re.findall(r'"detail":"([^"]*)"', printed)


async def carry_out(script: str, sandbox: Sandbox, folder: Path) -> tuple[list[int], str]:
    """How each request was answered, and all that was printed; the shell must end well."""
    here = script.replace("http://127.0.0.1:8000", sandbox.api.removesuffix("/api/v1"))
    here = here.replace(".venv/bin/recoup", f"{sys.executable} -m cli.main")
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        _PRELUDE + here,
        cwd=folder,
        env=sandbox.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = (part.decode() for part in await shell.communicate())
    assert shell.returncode == 0, f"{output}\n{errors}"
    return [int(status) for status in _ANSWERED.findall(errors)], output
