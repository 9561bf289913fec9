"""A span for every SQL statement that is sent while a trace is kept: its text, never its values.

The driver's cursor, and so whatever way a statement takes: stores that send theirs straight to psycopg, and
SQLAlchemy. Of our own, for OpenTelemetry's knows neither COPY nor statements in bytes, and names spans by
the database.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from psycopg import AsyncCursor, pq
from psycopg.sql import Composable

from runtime.spans.names import DATABASE, ERROR, PIPELINED, SQLSTATE, STATEMENT

LONGEST = 4000
"""Characters of a statement that are kept."""

_DOES = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|SET|TRUNCATE|LOCK)\b", re.IGNORECASE)
_ON = re.compile(r"\b(?:FROM|INTO|UPDATE|COPY)\s+(?:ONLY\s+)?([a-z_][a-z_.]*)", re.IGNORECASE)
_tracer = trace.get_tracer("recoup.sql")


class TracedCursor(AsyncCursor[Any]):
    """Sends statements as its base does. In a pipeline a span ends when its statement is sent."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As ``AsyncCursor.execute``."""
        with self._span(query):
            return await super().execute(query, *args, **kwargs)

    async def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """As ``AsyncCursor.executemany``."""
        with self._span(query):
            await super().executemany(query, *args, **kwargs)

    @asynccontextmanager
    async def copy(self, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """As ``AsyncCursor.copy``."""
        with self._span(statement):
            async with super().copy(statement, *args, **kwargs) as copy:
                yield copy

    @contextmanager
    def _span(self, query: Any) -> Iterator[None]:
        if not trace.get_current_span().is_recording():
            yield
            return
        text = _text(query, self)
        with _tracer.start_as_current_span(
            statement_name(text),
            kind=SpanKind.CLIENT,
            attributes={DATABASE: "postgresql", STATEMENT: text[:LONGEST]},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if self.connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
                span.set_attribute(PIPELINED, True)
            try:
                yield
            except psycopg.Error as error:
                span.set_attribute(ERROR, type(error).__qualname__)
                if error.sqlstate:
                    span.set_attribute(SQLSTATE, error.sqlstate)
                span.set_status(StatusCode.ERROR)
                raise


def _text(query: Any, cursor: TracedCursor) -> str:
    if isinstance(query, bytes):
        return query.decode()
    return query.as_string(cursor) if isinstance(query, Composable) else str(query)


def statement_name(text: str) -> str:
    """What is done to which table first, ``SELECT account``: few names for many statements."""
    does, on = _DOES.search(text), _ON.search(text)
    return f"{does.group(1).upper() if does else 'SQL'} {on.group(1).lower() if on else ''}".rstrip()
