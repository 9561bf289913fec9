"""What the steps of a matching share: one connection, the values that their statements are given."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import namedtuple_row

MANY_LINES = 10_000
"""A statement with so many lines is joined as a whole."""

MEMORY = "256MB"
"""What a sort or a hash table may take before it goes to disk: a join of millions is bounded by it."""


class Steps:
    """Runs statements inside the caller's transaction.

    Values are bound on this side, for ``CREATE TABLE AS`` takes none; the rows stay in the database.
    """

    def __init__(self, connection: AsyncConnection[Any], values: Mapping[str, object]) -> None:
        self._connection = connection
        self.values = dict(values)
        self._many = False

    async def prepare(self, lines: int) -> None:
        """Let this transaction sort and hash in memory, and end with the worker that began it.

        ``lines``: how many are compared; many of them are joined with whole tables.
        """
        await self.run(
            "SELECT set_config('work_mem', %(memory)s, true),"
            " set_config('client_connection_check_interval', '5s', true)",
            memory=MEMORY,
        )
        self._many = lines >= MANY_LINES
        await self.join_whole(self._many)

    @asynccontextmanager
    async def joining(self, lines: int) -> AsyncIterator[None]:
        """Join as so many lines ask for, as long as the block goes on."""
        await self.join_whole(lines >= MANY_LINES)
        yield
        await self.join_whole(self._many)

    async def join_whole(self, wanted: bool) -> None:
        """Whether whole tables are joined: row by row, many rows take several times as long.

        The planner cannot know: a young agency has no statistics.
        """
        state = "off" if wanted else "on"
        await self.run("SELECT set_config('enable_nestloop', %(state)s, true)", state=state)

    async def run(self, statement: str, **more: object) -> int:
        """How many rows a statement has written."""
        async with AsyncClientCursor(self._connection) as cursor:
            await cursor.execute(statement.encode(), {**self.values, **more})
            return max(cursor.rowcount, 0)

    async def rows(self, statement: str, **more: object) -> list[Any]:
        """The rows of a statement, as named tuples."""
        async with AsyncClientCursor(self._connection, row_factory=namedtuple_row) as cursor:
            await cursor.execute(statement.encode(), {**self.values, **more})
            return await cursor.fetchall()

    async def value(self, statement: str, **more: object) -> Any:
        """The only value of a statement's only row."""
        return (await self.rows(statement, **more))[0][0]
