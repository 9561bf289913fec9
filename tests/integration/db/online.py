"""What a migration does to those who work meanwhile, asked of the server: locks, scans, rewrites."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

SMALL = frozenset(
    {
        "agency",
        "app_user",
        "collector",
        "compliance_rule_set",
        "creditor",
        "figures",
        "partner",
        "partner_rules",
        "scorecard",
        "sftp_source",
        "stripe_credentials",
    }
)
"""Tables with some hundreds of rows at most, which are looked through at once. All others count as large."""

KEEPS_WRITERS_OUT = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")

_HELD = """
    SELECT c.oid, c.relname, l.mode, s.seq_scan
      FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
      JOIN pg_stat_xact_user_tables s ON s.relid = c.oid
     WHERE l.pid = pg_backend_pid() AND l.granted AND c.relnamespace = 'public'::regnamespace
"""
_FILES = """
    SELECT c.oid, c.relname, pg_relation_filenode(c.oid) FROM pg_class c
     WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
"""
_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef OR a.attidentity <> ''
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
       AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'
"""
_RULES = """
    SELECT c.relname, conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
     WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND contype <> 'n'
    UNION SELECT c.relname, i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = indrelid
     WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND indisunique
"""
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text FROM pg_proc p
     WHERE pronamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@dataclass(slots=True)
class Schema:
    """What a release relies on, and the files in which its tables are."""

    files: dict[int, tuple[str, int]]
    columns: dict[tuple[str, str], tuple[str, bool, bool]]
    rules: set[tuple[str, str]]
    functions: set[str]

    @classmethod
    def of(cls, link: psycopg.Connection[Any]) -> "Schema":
        """As it is now."""
        return cls(
            {oid: (name, node) for oid, name, node in link.execute(_FILES)},
            {(table, column): (*what,) for table, column, *what in link.execute(_COLUMNS)},
            set(link.execute(_RULES)),
            {name for (name,) in link.execute(_FUNCTIONS)},
        )

    def rewritten(self, after: "Schema") -> set[str]:
        """Tables whose rows were all written anew, while nobody could read them."""
        return {
            name
            for oid, (name, node) in self.files.items()
            if oid in after.files and after.files[oid][1] != node
        }

    def broken(self, after: "Schema") -> list[str]:
        """What the release before would miss, or be refused, at the schema ``after``."""
        found = [f"{name} is gone" for name in sorted(self.functions - after.functions)]
        tables = {table for table, _ in self.columns}
        for (table, column), (kind, needed, _) in sorted(self.columns.items()):
            now = after.columns.get((table, column))
            if now is None:
                found.append(f"{table}.{column} is gone")
            elif now[0] != kind:
                found.append(f"{table}.{column} is of another type")
            elif now[1] and not needed:
                found.append(f"{table}.{column} must be given")
        for (table, column), (_, needed, given) in sorted(after.columns.items()):
            if table in tables and (table, column) not in self.columns and needed and not given:
                found.append(f"{table}.{column} must be given")
        stricter = sorted(after.rules - self.rules)
        return found + [f"{table} has the new rule {rule}" for table, rule in stricter if table in tables]


@dataclass(slots=True)
class Watched:
    """Large tables that were looked through while their writers had to wait, and under which lock."""

    existing: set[int]
    kept_out: list[str] = field(default_factory=list)

    def look(self, cursor: Any) -> None:
        """Ask within the transaction of the migration, before it ends."""
        cursor.execute(_HELD)
        for oid, name, mode, scans in cursor.fetchall():
            large = oid in self.existing and name not in SMALL
            if large and scans and mode in KEEPS_WRITERS_OUT:
                self.kept_out.append(f"{name} is looked through under {mode}")
        # Counts are of all that was not reported yet, earlier transactions included.
        cursor.execute("SELECT pg_stat_force_next_flush()")


@contextmanager
def watching(before: Schema) -> Iterator[Watched]:
    """Look into every transaction that SQLAlchemy commits while the block runs."""
    watched = Watched(set(before.files))

    def before_commit(connection: Connection) -> None:
        with connection.connection.cursor() as cursor:
            watched.look(cursor)

    event.listen(Engine, "commit", before_commit)
    try:
        yield watched
    finally:
        event.remove(Engine, "commit", before_commit)
