"""The floor of an import: psql copies the rows that it made into the same tables, and nothing else."""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from sandbox.postgres import OWNER, locate

if TYPE_CHECKING:
    from benchmarks.world import World

NEEDED = ("agency", "creditor")
"""What foreign keys ask for; a handful of rows, copied before the clock starts."""

TABLES = ("debtor", "account", "journal", "posting", "timeline_event")
"""What an import writes, in an order that foreign keys accept."""

_TIME = re.compile(r"^Time: ([0-9.]+) ms", re.MULTILINE)
_COLUMNS = """
    SELECT column_name FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name = %s
       AND is_generated = 'NEVER' AND identity_generation IS NULL
     ORDER BY ordinal_position
"""


@dataclass(frozen=True, slots=True)
class Dump:
    """Finished rows on disk, in psql's text format: one file a table."""

    folder: Path
    columns: dict[str, Sequence[str]]

    def copy(self, table: str, direction: str) -> str:
        """psql's command that reads or writes a table's file."""
        names = ", ".join(f'"{name}"' for name in self.columns[table])
        whole = f"(SELECT {names} FROM {table})" if direction == "TO" else f"{table} ({names})"
        return f"\\copy {whole} {direction} '{self.folder / table}'"


async def dump(world: "World", database: str, folder: Path) -> Dump:
    """Write the rows of a finished import to files, in the order in which the tables hold them."""
    url = world.postgres.url(OWNER, database)
    columns: dict[str, Sequence[str]] = {}
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for table in (*NEEDED, *TABLES):
            found = await connection.execute(_COLUMNS, [table])
            columns[table] = [str(name) for (name,) in await found.fetchall()]
    made = Dump(folder, columns)
    await _psql(world, database, [made.copy(table, "TO") for table in (*NEEDED, *TABLES)])
    return made


async def load(world: "World", made: Dump) -> dict[str, float]:
    """Copy dumped rows into a fresh migrated database; seconds by table, as psql's ``\\timing`` says."""
    async with world.database() as database:
        await _psql(world, database, [made.copy(table, "FROM") for table in NEEDED])
        await world.checkpoint()
        output = await _psql(world, database, ["\\timing on", *(made.copy(t, "FROM") for t in TABLES)])
    times = [float(found) / 1000 for found in _TIME.findall(output)]
    return dict(zip(TABLES, times, strict=True))


async def _psql(world: "World", database: str, commands: Sequence[str]) -> str:
    program = locate(world.settings.postgres_bin) / "psql"
    words = [word for command in commands for word in ("-c", command)]
    process = await asyncio.create_subprocess_exec(
        str(program),
        *("-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", world.postgres.url(OWNER, database)),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # PG… variables would change what psql does.
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeError(
            f"psql ended with exit code {process.returncode}:\n{output.decode(errors='replace')}"
        )
    return output.decode()
