"""Pages on the wire: compressed for those who asked themselves, and never twice with the same token."""

from typing import Any

import brotli
import pytest

PAGE = "/worklist"
OURS = {"Accept-Encoding": "gzip, deflate, br, zstd", "Sec-Fetch-Site": "same-origin"}


async def fetch(console: Any, headers: dict[str, str]) -> tuple[Any, bytes]:
    """An answer and its body as it went over the wire."""
    client = (await console.browser("acme.admin")).client
    request = client.build_request("GET", PAGE)
    request.headers.pop("Accept-Encoding", None)
    request.headers.update(headers)
    answer = await client.send(request, stream=True)
    raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(raw)
    assert {"HX-Request", "Accept-Encoding", "Sec-Fetch-Site"} <= set(answer.headers["Vary"].split(", "))
    return answer, raw


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_a_page_that_somebody_asked_for_is_compressed(console: Any, site: str) -> None:
    _, plain = await fetch(console, {})
    answer, raw = await fetch(console, {**OURS, "Sec-Fetch-Site": site})
    assert answer.headers["Content-Encoding"] == "br"
    page = brotli.decompress(raw)
    assert len(raw) < len(page) / 3
    assert page.startswith(b"<!doctype html>")
    assert len(page) == len(plain)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({**OURS, "Sec-Fetch-Site": "cross-site"}, id="another site"),
        pytest.param({**OURS, "Sec-Fetch-Site": "same-site"}, id="a neighbour"),
        pytest.param({"Accept-Encoding": OURS["Accept-Encoding"]}, id="nobody says who"),
        pytest.param({**OURS, "Accept-Encoding": "gzip, deflate"}, id="no Brotli"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, id="no encoding"),
    ],
)
async def test_any_other_is_not(console: Any, headers: dict[str, str]) -> None:
    answer, raw = await fetch(console, headers)
    assert "Content-Encoding" not in answer.headers
    assert raw.startswith(b"<!doctype html>")


async def test_each_page_has_another_token_and_all_of_the_session_are_good(console: Any) -> None:
    browser = await console.new_browser("acme.admin")
    pages = [await browser.get(PAGE) for _ in range(2)]
    tokens = [{form.fields["_csrf"] for form in page.forms if "_csrf" in form.fields} for page in pages]
    assert [len(found) for found in tokens] == [1, 1]
    first, second = (found.pop() for found in tokens)
    assert first != second
    salt, _, salted = first.partition(".")
    for token, status in (
        (salted, 403),
        (f".{salted}", 403),
        (f"{second.partition('.')[0]}.{salted}", 403),
        (f"{salt}.ä", 403),
        (first, 303),
    ):
        answer = await browser.client.post("/logout", data={"_csrf": token}, follow_redirects=False)
        assert answer.status_code == status, token
