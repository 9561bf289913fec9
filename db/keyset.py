"""Keyset pagination: where a page starts, and the query of that page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVarTuple

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

Columns = TypeVarTuple("Columns")


@dataclass(frozen=True, slots=True)
class Position:
    """The key of the row next to a page, and on which side of it the page lies.

    ``backward`` asks for the page before it; its rows come nearest first, that is, in reverse.
    """

    key: tuple[Any, ...]
    backward: bool = False


def newest_first(
    query: Select[*Columns],
    columns: Sequence[InstrumentedAttribute[Any]],
    position: Position | None,
    limit: int,
) -> Select[*Columns]:
    """``query`` in descending order of ``columns`` (together unique): ``limit`` rows from ``position`` on."""
    if position is None:
        return query.order_by(*(column.desc() for column in columns)).limit(limit)
    if position.backward:
        return (
            query.where(tuple_(*columns) > position.key)
            .order_by(*(column.asc() for column in columns))
            .limit(limit)
        )
    return (
        query.where(tuple_(*columns) < position.key)
        .order_by(*(column.desc() for column in columns))
        .limit(limit)
    )
