"""Change a row by the fields that differ, and say what they were: what the audit trail records."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import UniqueViolation
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Base
from domain.errors import Conflict


@dataclass(frozen=True, slots=True)
class Change:
    """The fields that really changed, before and after; both empty when nothing did."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.new)


async def apply(session: AsyncSession, row: Base, values: Mapping[str, Any]) -> Change:
    """Write the ``values`` that differ from ``row`` and its ``updated_at``; the row is then current."""
    differing = {name: value for name, value in values.items() if getattr(row, name) != value}
    old = {name: getattr(row, name) for name in differing}
    if differing:
        for name, value in differing.items():
            setattr(row, name, value)
        row.updated_at = func.now()  # type: ignore[attr-defined] # every changeable table has the column
        await session.flush()
        await session.refresh(row)
    return Change(old, differing)


@contextmanager
def unique(messages: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Turn the violation of a unique constraint into a ``Conflict``.

    ``messages`` maps the constraint's name to the field at fault and what to say about it.
    """
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.orig, UniqueViolation):
            raise
        known = messages.get(error.orig.diag.constraint_name or "")
        if known is None:
            raise
        field, message = known
        raise Conflict(message, field=field) from None
