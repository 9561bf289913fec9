"""Tables made ready for a great many rows, and brought back exactly, all in one transaction.

Secondary indexes are built anew and foreign keys proved once at the end, which takes a fraction of
what keeping them up row by row does. Definitions are read from the catalogue, so whatever the
migrations have made is what is there again. Should anything fail in between, the transaction is
rolled back and nothing was ever otherwise. For owners of the tables only, and nobody else gets at
them meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Composed, Identifier

from domain.errors import Unavailable

LOCK_WITHIN_S = 15
"""How long others may keep the tables from being taken."""

_MEMORY = "512MB"


@dataclass(frozen=True, slots=True)
class Aside:
    """Something that is taken away and brought back: its name, and the two statements."""

    name: str
    take: Composed
    bring_back: Composed


async def lock(connection: AsyncConnection[Any], tables: Sequence[str]) -> None:
    """Keep everybody else from ``tables`` until the transaction ends. ``Unavailable`` when others stay in."""
    names = SQL(", ").join(map(Identifier, tables))
    await connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_WITHIN_S}s"])
    try:
        await connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    except errors.LockNotAvailable:
        raise Unavailable(
            f"others have been at work on the accounts for {LOCK_WITHIN_S} s (an import, a scoring run,"
            " an open transaction): try again when they have ended; nothing was changed"
        ) from None
    await connection.execute("SET LOCAL lock_timeout = 0")


async def foreign_keys(connection: AsyncConnection[Any], tables: Sequence[str]) -> list[Aside]:
    """The foreign keys of ``tables`` and to them; those that hold today."""
    rows = await connection.execute(_FOREIGN_KEYS, [list(tables), list(tables)])
    change = SQL("ALTER TABLE {} ALTER CONSTRAINT {} {}")
    return [
        Aside(
            name,
            change.format(Identifier(table), Identifier(name), SQL("NOT ENFORCED")),
            change.format(Identifier(table), Identifier(name), SQL("ENFORCED")),
        )
        for name, table in await rows.fetchall()
    ]


async def secondary_indexes(connection: AsyncConnection[Any], tables: Sequence[str]) -> list[Aside]:
    """The indexes of ``tables`` that nothing needs while rows come in.

    Primary keys and what foreign keys refer to stay: ids come in order, which costs next to nothing.
    So do unique indexes that are no constraint, for ``ON CONFLICT`` may name them.
    """
    rows = await connection.execute(_INDEXES, [list(tables)])
    found = []
    for name, table, definition, is_constraint in await rows.fetchall():
        if is_constraint:
            take = SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(Identifier(table), Identifier(name))
            back = SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                Identifier(table), Identifier(name), SQL(definition)
            )
        else:
            take, back = SQL("DROP INDEX {}").format(Identifier(name)), Composed([SQL(definition)])
        found.append(Aside(name, take, back))
    return found


async def take(connection: AsyncConnection[Any], things: Sequence[Aside]) -> None:
    """Take things away."""
    for thing in things:
        await connection.execute(thing.take)


async def bring_back(
    connection: AsyncConnection[Any], things: Sequence[Aside], on_done: Callable[[int], None]
) -> None:
    """Bring things back: indexes are built, foreign keys proved over all rows; ``on_done`` counts them."""
    await connection.execute("SELECT set_config('maintenance_work_mem', %s, true)", [_MEMORY])
    for done, thing in enumerate(things, start=1):
        await connection.execute(thing.bring_back)
        on_done(done)


async def columns(connection: AsyncConnection[Any], table: str) -> list[str]:
    """The columns of a table that can be written."""
    rows = await connection.execute(_COLUMNS, [table])
    return [str(name) for (name,) in await rows.fetchall()]


_FOREIGN_KEYS = """
    SELECT c.conname, t.relname
      FROM pg_constraint c
      JOIN pg_class t ON t.oid = c.conrelid
     WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conenforced AND c.convalidated
       AND c.connamespace = 'public'::regnamespace
       AND (c.conrelid::regclass::text = ANY(%s) OR c.confrelid::regclass::text = ANY(%s))
     ORDER BY t.relname, c.conname
"""

_INDEXES = """
    SELECT x.relname, t.relname, COALESCE(pg_get_constraintdef(c.oid), pg_get_indexdef(x.oid)),
           c.oid IS NOT NULL
      FROM pg_index i
      JOIN pg_class x ON x.oid = i.indexrelid
      JOIN pg_class t ON t.oid = i.indrelid
      LEFT JOIN pg_constraint c ON c.conindid = x.oid AND c.conrelid = t.oid AND c.contype IN ('p', 'u', 'x')
     WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(%s)
       AND (c.contype = 'u' OR (c.oid IS NULL AND NOT i.indisunique))
       AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = x.oid)
     ORDER BY pg_get_indexdef(x.oid) LIKE '%% gin %%', t.relname, x.relname
"""

_COLUMNS = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
     ORDER BY attnum
"""
