"""What the steps of a matching share: one connection, the values that their statements are given."""

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import namedtuple_row

MEMORY = "256MB"
"""What a sort or a hash table may take before it goes to disk: a join of millions is bounded by it."""


class Steps:
    """Runs statements inside the caller's transaction.

    Values are bound on this side, for ``CREATE TABLE AS`` takes none; the rows stay in the database.
    """

    def __init__(self, connection: AsyncConnection[Any], values: Mapping[str, object]) -> None:
        self._connection = connection
        self.values = dict(values)

    async def prepare(self) -> None:
        """Let this transaction sort and hash in memory, and end with the worker that began it."""
        await self.run(
            "SELECT set_config('work_mem', %(memory)s, true),"
            " set_config('client_connection_check_interval', '5s', true)",
            memory=MEMORY,
        )

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
