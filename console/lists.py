"""Lists of pages: the API's cursors, with links that stay on this site whatever it is called."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.datastructures import URL

from api.pagination import PageQuery

Row = TypeVar("Row")


class ListPage(NamedTuple):
    """``results`` in the list's order; ``next`` and ``previous`` are paths, None at the ends."""

    results: list[Any]
    next: str | None
    previous: str | None


def page_of(
    paging: PageQuery,
    rows: Sequence[Row],
    *,
    key: Callable[[Row], tuple[Any, ...]],
    render: Callable[[Row], Any],
    order: str = "newest",
) -> ListPage:
    """A page of ``rows``, which were asked for at ``paging.position`` with ``paging.limit``."""
    page = paging.page(rows, key=key, render=render, order=order)
    return ListPage(page.results, _path(page.next), _path(page.previous))


def _path(link: str | None) -> str | None:
    if link is None:
        return None
    url = URL(link)
    return f"{url.path}?{url.query}"
