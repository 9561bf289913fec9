"""Rows for every table of a database at whatever revision, made from its catalogue alone."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
from psycopg.sql import SQL, Identifier

Row = dict[str, Any]

_TABLES = """
    SELECT c.oid::regclass::text, c.oid FROM pg_class c
     WHERE c.relnamespace IN ('public'::regnamespace, to_regnamespace('staging'))
       AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version' ORDER BY 1
"""
_COLUMNS = """
    SELECT attname, format_type(atttypid, NULL), attnotnull FROM pg_attribute
     WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
     ORDER BY attnum
"""
_CONSTRAINTS = """
    SELECT conname, contype, pg_get_constraintdef(oid), confrelid::regclass::text,
           ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k (n, i)
                   JOIN pg_attribute ON attrelid = conrelid AND attnum = n ORDER BY i),
           ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY k (n, i)
                   JOIN pg_attribute ON attrelid = confrelid AND attnum = n ORDER BY i)
      FROM pg_constraint WHERE conrelid = %s AND contype IN ('c', 'f')
"""
_ONE_OF = re.compile(r"(\w+) (?:= ANY \(|<@ )ARRAY\[(.*?)\]")
_ONLY = re.compile(r"^CHECK \(\((\w+) = ('\w+')::text\)\)$")


@dataclass(slots=True)
class Table:
    """What a row has to fulfil: type and whether needed by column, the values allowed, references."""

    name: str
    columns: dict[str, tuple[str, bool]]
    allowed: dict[str, list[str]] = field(default_factory=dict)
    checks: dict[str, list[str]] = field(default_factory=dict)
    references: list[tuple[str, list[str], list[str]]] = field(default_factory=list)


class Filler:
    """Puts rows into every table, one more with each number; a row refers to those of its own number."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], Row] = {}

    def fill(self, link: psycopg.Connection[Any], number: int) -> None:
        """One row for each table, every column filled where the checks let it be."""
        for table in _in_order(tables(link)):
            row = {column: _value(table, column, kind, number) for column, (kind, _) in table.columns.items()}
            self._refer(table, row, number)
            self._made[table.name, number] = _inserted(link, table, row)

    def _refer(self, table: Table, row: Row, number: int) -> None:
        for target, columns, theirs in table.references:
            parent = self._made.get((target, number), {}) if target != table.name else {}
            for column, theirs_too in zip(columns, theirs, strict=True):
                if parent or column != "agency_id":
                    row[column] = parent.get(theirs_too)


def tables(link: psycopg.Connection[Any]) -> list[Table]:
    """Every table but Alembic's, partitions with their parents."""
    found = []
    for name, oid in link.execute(_TABLES).fetchall():
        columns = {column: (kind, needed) for column, kind, needed in link.execute(_COLUMNS, [oid])}
        table = Table(name, columns)
        for constraint, kind, rule, target, ours, theirs in link.execute(_CONSTRAINTS, [oid]):
            if kind == "f":
                table.references.append((target, ours, theirs))
                continue
            table.checks[constraint] = ours
            for column, values in [*_ONE_OF.findall(rule), *_ONLY.findall(rule)]:
                table.allowed[column] = re.findall(r"'([^']*)'", values)
        found.append(table)
    return found


def _in_order(found: list[Table]) -> Iterator[Table]:
    waiting = {table.name: table for table in found}
    while waiting:
        ready = [
            table
            for table in waiting.values()
            if all(target == table.name or target not in waiting for target, _, _ in table.references)
        ]
        assert ready, f"{', '.join(waiting)} refer to each other"
        for table in ready:
            yield waiting.pop(table.name)


def _value(table: Table, column: str, kind: str, number: int) -> Any:
    if column == "agency_id":
        return str(uuid5(NAMESPACE_URL, f"agency.id.{number}"))
    if column in table.allowed:
        values = table.allowed[column]
        value = values[(number + 1) % len(values)]
        return [value] if kind.endswith("[]") else value
    if kind.endswith("[]"):
        return [_value(table, column, kind.removesuffix("[]"), number)]
    unique = f"{column}.{number}"
    return {
        "uuid": str(uuid5(NAMESPACE_URL, f"{table.name}.{unique}")),
        "text": "USD" if column == "currency" else f"{column} {number}",
        "boolean": number % 2 == 0,
        "timestamp with time zone": datetime.now(UTC).isoformat(),
        "date": "2026-01-15",
        "time without time zone": "06:30:00",
        "jsonb": {"number": number},
        "bytea": rf"\x{unique.encode().hex()}",
        "inet": "192.0.2.7",
    }.get(kind, 1 + number % 2)


def _inserted(link: psycopg.Connection[Any], table: Table, row: Row) -> Row:
    """The row as it went in: without the optional columns of the checks that it did not pass at first."""
    for _ in range(1 + len(table.checks)):
        try:
            with link.transaction():
                link.execute(_insert(table, row), [json.dumps(row)])
        except psycopg.errors.CheckViolation as refused:
            optional = [
                column
                for column in table.checks[str(refused.diag.constraint_name)]
                if not table.columns[column][1] and row[column] is not None
            ]
            if not optional:
                raise
            row |= dict.fromkeys(optional)
        else:
            return row
    raise AssertionError(f"no row passes the checks of {table.name}")


def _insert(table: Table, row: Mapping[str, Any]) -> Any:
    columns = SQL(", ").join(map(Identifier, row))
    name = Identifier(*table.name.split("."))
    return SQL("INSERT INTO {0} ({1}) SELECT {1} FROM jsonb_populate_record(NULL::{0}, %s)").format(
        name, columns
    )
