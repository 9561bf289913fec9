"""That every page is among those that are looked at in a browser."""

import re
from dataclasses import fields

from console.app import PAGES
from tests.e2e.console.lived_in import LivedIn

OF_ANOTHER = {
    "/accounts/count",
    "/accounts/{account_id}/collectors",
    "/accounts/{account_id}/contacts",
    "/accounts/{account_id}/debts",
    "/accounts/{account_id}/decisions",
    "/accounts/{account_id}/preferences",
    "/accounts/{account_id}/timeline",
    "/accounts/{account_id}/workflow",
    "/settings/assignments/preview",
    "/worklist/count",
}
"""What a page fetches of itself, and has been seen with it."""

ONE = "one"
"""The id of whatever there is one of."""

NO_PAGE = re.compile(r".*(\.csv|/file|/live)$")
"""Files, and streams of a page."""

ELSEWHERE = {"/", "/login", "/settings", "/settings/agencies"}
"""What leads on, and what those see who are nobody yet or the platform's."""


def test_every_page_is_looked_at_in_a_browser() -> None:
    """By axe, at both widths, and by whoever makes pictures; a page that is added fails here until it is."""
    lived_in = LivedIn(**{field.name: ONE for field in fields(LivedIn)})
    seen = {path.partition("?")[0] for path in lived_in.paths.values()}
    left_out = [
        path
        for module in PAGES
        for route in module.pages.routes
        if "GET" in route.methods and (path := route.path) not in OF_ANOTHER | ELSEWHERE
        if not NO_PAGE.fullmatch(path)
        if re.sub(r"\{[a-z_]+\}", ONE, path) not in seen
    ]
    assert left_out == []
