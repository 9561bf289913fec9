"""Rows of a list as the lines of a CSV file that a spreadsheet can be trusted with.

A column is a field of what the list shows, that of a nested object named by both (``creditor_name``). The
file is UTF-8 with a byte order mark: without one spreadsheets take it for the code page of their country, and
spoil every name with an accent. Lines end as RFC 4180 says.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from domain.csv_text import neutralise_formula

BOM = b"\xef\xbb\xbf"
_NUMBERS = (Decimal, int, float)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, where its value lies in a row, and whether that is a number by its type."""

    name: str
    path: tuple[str, ...]
    numeric: bool


def columns_of(view: type[BaseModel], within: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """The columns of a list whose rows are shown as ``view``."""
    found: list[Column] = []
    for name, field in view.model_fields.items():
        kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
        path = (*within, name)
        nested = kinds[0] if len(kinds) == 1 else None
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            found += columns_of(nested, path)
        else:
            numeric = all(isinstance(kind, type) and issubclass(kind, _NUMBERS) for kind in kinds)
            found.append(Column(_title(path), path, numeric and bool not in kinds))
    return tuple(found)


def head(columns: Sequence[Column]) -> bytes:
    """What a file begins with."""
    return BOM + _lines([[column.name for column in columns]])


def lines(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows, each JSON-ready by field as its list shows it, as lines of the file.

    A cell of text never begins as a formula; a number stays one, a negative one too. Lists and objects
    without a shape are JSON in one cell.
    """
    return _lines(_cells(columns, row) for row in rows)


def _cells(columns: Sequence[Column], row: Mapping[str, Any]) -> list[str]:
    """Written out at length, for it is done for every cell of a million rows."""
    cells = []
    for column in columns:
        value: Any = row
        for name in column.path:
            value = value[name]
            if value is None:
                break
        if value is None:
            cells.append("")
        elif column.numeric:
            cells.append(str(value))
        elif type(value) is str:
            cells.append(neutralise_formula(value))
        elif isinstance(value, bool):
            cells.append("true" if value else "false")
        else:
            cells.append(neutralise_formula(json.dumps(value, ensure_ascii=False)))
    return cells


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _title(path: Sequence[str]) -> str:
    """``creditor``, ``name`` → ``creditor_name``; but ``debtor``, ``debtor_ref`` → ``debtor_ref``."""
    title = path[0]
    for name in path[1:]:
        title = name if name.startswith(f"{title}_") else f"{title}_{name}"
    return title


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation
