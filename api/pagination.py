"""Cursor pagination of lists: opaque cursors over keysets, and links that keep the other parameters."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.datastructures import URL

from db.keyset import Position
from domain.errors import Invalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
MAX_CURSOR_LENGTH = 1000

Row = TypeVar("Row")
Shown = TypeVar("Shown")


class Page(BaseModel, Generic[Shown]):
    """One page of a list; ``next`` and ``previous`` are URLs, null at the ends."""

    results: list[Shown]
    next: str | None
    previous: str | None


class _Cursor(BaseModel):
    """What a cursor says: the list and order it was made for, the key of a row, the direction from there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    order: str
    key: list[str | int | None]
    backward: bool


class _Shown(NamedTuple, Generic[Row]):
    """The rows of a page in the list's order, and its links."""

    rows: list[Row]
    next: str | None
    previous: str | None


class PageQuery:
    """The ``page_size`` and ``cursor`` of a request.

    A list reads ``position`` (or None), asks its store for ``limit`` rows from there (one more than a
    page, to know whether there is another) and hands them to ``page``.
    """

    def __init__(self, url: URL, page_size: int, cursor: str | None) -> None:
        self._url = url
        self._path = url.path.rstrip("/")
        self._cursor = _decode(cursor) if cursor else None
        self.size = page_size
        self.limit = page_size + 1

    def position(self, *types: Any, order: str = "newest") -> Position | None:
        """Where the page starts, its key read as ``types``; None for the first page.

        ``order`` names the ordering: a cursor of another one, or of another list, is ``Invalid``, as is
        one that does not fit the types.
        """
        if self._cursor is None:
            return None
        made_for = (self._cursor.path, self._cursor.order, len(self._cursor.key))
        if made_for != (self._path, order, len(types)):
            raise _bad_cursor()
        try:
            key = tuple(
                TypeAdapter(kind).validate_python(part)
                for kind, part in zip(types, self._cursor.key, strict=True)
            )
        except ValidationError:
            raise _bad_cursor() from None
        return Position(key, self._cursor.backward)

    def page(
        self,
        rows: Sequence[Row],
        *,
        key: Callable[[Row], tuple[Any, ...]],
        render: Callable[[Row], Shown],
        order: str = "newest",
    ) -> Page[Shown]:
        """A page of ``rows``, which came in the direction of ``position`` and at most ``limit`` of them."""
        shown = self._shown(rows, key, order)
        return Page(results=[render(row) for row in shown.rows], next=shown.next, previous=shown.previous)

    def json_page(
        self,
        rows: Sequence[Row],
        *,
        key: Callable[[Row], tuple[Any, ...]],
        render: Callable[[Row], str],
        order: str = "newest",
    ) -> Response:
        """``page`` for rows that are JSON already; its shape is not checked again."""
        shown = self._shown(rows, key, order)
        results = ",".join(map(render, shown.rows))
        links = f'"next":{json.dumps(shown.next)},"previous":{json.dumps(shown.previous)}'
        return Response(f'{{"results":[{results}],{links}}}', media_type="application/json")

    def _shown(self, rows: Sequence[Row], key: Callable[[Row], tuple[Any, ...]], order: str) -> "_Shown[Row]":
        backward = self._cursor is not None and self._cursor.backward
        more = len(rows) > self.size
        shown = list(rows[: self.size])
        if backward:
            shown.reverse()
        has_next = backward or more
        has_previous = more if backward else self._cursor is not None
        return _Shown(
            shown,
            self._link(order, key(shown[-1]), backward=False) if shown and has_next else None,
            self._link(order, key(shown[0]), backward=True) if shown and has_previous else None,
        )

    def _link(self, order: str, key: tuple[Any, ...], *, backward: bool) -> str:
        plain = [part if isinstance(part, int | str | None) else _text(part) for part in key]
        cursor = _Cursor(path=self._path, order=order, key=plain, backward=backward)
        return str(self._url.include_query_params(cursor=_encode(cursor)))


async def page_query(
    request: Request,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    cursor: Annotated[
        str | None, Query(max_length=MAX_CURSOR_LENGTH, description="from `next` or `previous`")
    ] = None,
) -> PageQuery:
    """The page that a request asks for. Like all dependencies that wait for nothing it is a coroutine:

    FastAPI calls plain functions and classes in a thread, which takes longer than they do.
    """
    return PageQuery(request.url, page_size, cursor)


Paging = Annotated[PageQuery, Depends(page_query)]


def _text(part: Any) -> str:
    return part.isoformat() if hasattr(part, "isoformat") else str(part)


def _encode(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def _decode(text: str) -> _Cursor:
    try:
        raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return _Cursor.model_validate_json(raw)
    except (binascii.Error, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> Invalid:
    return Invalid(
        "this cursor does not belong to this list; follow `next` and `previous` as they were given",
        field="cursor",
    )
