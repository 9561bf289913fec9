"""The declarative base, its naming convention and the column types that tables share."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKeyConstraint, MetaData, Numeric, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

UuidKey = Annotated[UUID, mapped_column(primary_key=True, server_default=text("uuidv7()"))]
"""A key that PostgreSQL makes; time-ordered, so bulk inserts stay at the right edge of the index."""

Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Amount = Annotated[Decimal, mapped_column(Numeric(14, 2))]
"""Money in the row's currency."""


class Base(DeclarativeBase):
    """Base of every table. Relationships are not mapped: stores write the joins they need."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {str: Text(), dict[str, Any]: JSONB()}  # noqa: RUF012 - SQLAlchemy's own attribute


def same_agency(column: str, table: str) -> ForeignKeyConstraint:
    """A foreign key that also demands the same agency: no row can refer to another tenant's."""
    return ForeignKeyConstraint(["agency_id", column], [f"{table}.agency_id", f"{table}.id"])
