"""Statements written with SQLAlchemy, for where psycopg runs them itself."""

from sqlalchemy import ClauseElement, make_url

_DIALECT = make_url("postgresql+psycopg://").get_dialect()()


def driver_statement(statement: ClauseElement) -> bytes:
    """``statement`` in psycopg's notation: its bound parameters are ``%(name)s``."""
    return str(statement.compile(dialect=_DIALECT)).encode()
