"""Rows that were read past SQLAlchemy, as the objects that it would have made of them."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from db.models.base import Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

_Row = TypeVar("_Row", bound=Base)


@cache
def columns_of(kind: type[Base]) -> tuple[str, ...]:
    """The columns of a table, in the order in which ``in_session`` wants them."""
    return tuple(kind.__table__.columns.keys())


@cache
def rows_of(kind: type[Base]) -> bytes:
    """The beginning of a statement that reads an agency's rows of a table; a condition may follow."""
    columns = ", ".join(columns_of(kind))
    return f"SELECT {columns} FROM {kind.__tablename__} WHERE agency_id = %(agency)s ".encode()


def in_session(
    session: "AsyncSession", kind: type[_Row], row: "Sequence[Any]", *, anew: bool = False
) -> _Row:
    """A row of a table, as the session's own object.

    One that the session has already stays as it is there, unless it is to be read ``anew``.
    """
    values = dict(zip(columns_of(kind), row, strict=True))
    key = tuple(values[column.name] for column in kind.__mapper__.primary_key)
    known = session.sync_session.identity_map.get(identity_key(kind, key))
    if known is None:
        made = kind(**values)
        make_transient_to_detached(made)
        session.add(made)
        return made
    if anew:
        commit(known, values)
    return known


def commit(row: Base, values: Mapping[str, Any]) -> None:
    """Have an object say what was written to its row."""
    for name, value in values.items():
        set_committed_value(row, name, value)
