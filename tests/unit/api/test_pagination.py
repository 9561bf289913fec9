"""Pages walk a list forth and back without a gap or a repetition, whatever its length."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from api.pagination import Page, PageQuery
from db.keyset import Position
from domain.errors import Invalid


def _query(
    cursor: str | None = None,
    size: int = 3,
    query: str = "status=new&status=open",
    path: str = "/api/v1/things",
) -> PageQuery:
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": []}
    return PageQuery(Request({**scope, "server": ("test", 80), "scheme": "http"}).url, size, cursor)


def _rows(everything: list[int], position: Position | None, limit: int) -> list[int]:
    """What a store answers: descending, the nearest to the position first."""
    if position is None:
        return sorted(everything, reverse=True)[:limit]
    [key] = position.key
    if position.backward:
        return sorted(row for row in everything if row > key)[:limit]
    return sorted((row for row in everything if row < key), reverse=True)[:limit]


def _page(everything: list[int], cursor: str | None, size: int) -> Page[int]:
    query = _query(cursor, size)
    rows = _rows(everything, query.position(int), query.limit)
    return query.page(rows, key=lambda row: (row,), render=lambda row: row)


def _cursor(link: str | None) -> str | None:
    return None if link is None else parse_qs(urlsplit(link).query)["cursor"][0]


@given(st.lists(st.integers(0, 1000), unique=True), st.integers(1, 10))
def test_walking_forth_and_back(everything: list[int], size: int) -> None:
    pages = [_page(everything, None, size)]
    while pages[-1].next:
        pages.append(_page(everything, _cursor(pages[-1].next), size))
    assert [row for page in pages for row in page.results] == sorted(everything, reverse=True)
    assert pages[0].previous is None
    assert all(len(page.results) == size for page in pages[:-1])
    back = [pages[-1]]
    while back[0].previous:
        back.insert(0, _page(everything, _cursor(back[0].previous), size))
    assert [page.results for page in back] == [page.results for page in pages]


def test_links_keep_the_other_parameters() -> None:
    page = _query(query="status=new&status=open&search=a%26b").page(
        [9, 8, 7, 6], key=lambda row: (row,), render=lambda row: row
    )
    link = urlsplit(str(page.next))
    assert (link.scheme, link.path) == ("http", "/api/v1/things")
    parameters = parse_qs(link.query)
    assert parameters["status"] == ["new", "open"]
    assert parameters["search"] == ["a&b"]


def test_keys_keep_their_types() -> None:
    moment, row_id = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC), uuid4()
    page = _query(size=1).page([1, 2], key=lambda _: (moment, row_id, None, -5), render=lambda row: row)
    position = _query(_cursor(page.next)).position(datetime, UUID, int | None, int)
    assert position == Position((moment, row_id, None, -5))


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "%%%",
        "ÿ",
        "\x00",
        "a",
        _encoded([]),
        _encoded({"path": "/api/v1/things", "order": "newest"}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": ["x"], "backward": False}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": [], "backward": False}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": [1, 2], "backward": False}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": [{}], "backward": False}),
        _encoded({"path": "/api/v1/things", "order": "other", "key": [1], "backward": False}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": [1], "backward": "yes"}),
        _encoded({"path": "/api/v1/things", "order": "newest", "key": [1], "backward": False, "more": 1}),
        _encoded({"path": "/api/v1/others", "order": "newest", "key": [1], "backward": False}),
        _encoded({"order": "newest", "key": [1], "backward": False}),
    ],
)
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        _query(cursor).position(int)
    assert refused.value.field == "cursor"


def test_a_cursor_serves_with_and_without_the_slash_at_the_end() -> None:
    page = _query(path="/api/v1/things/").page([3, 2, 1, 0], key=lambda row: (row,), render=lambda row: row)
    assert _query(_cursor(page.next)).position(int) == Position((1,))
