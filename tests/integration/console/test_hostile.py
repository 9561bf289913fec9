"""What nobody sends by accident: each is refused in words, and nothing breaks."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from console.forms import CSRF_FIELD, FORM_FIELD, KEY_FIELD
from console.notices import NOTICE_COOKIE, done, read_notice
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.contacting import debt
from tests.integration.console.browser import Browser, Page

BROKEN = httpx.codes.INTERNAL_SERVER_ERROR
FORBIDDEN = httpx.codes.FORBIDDEN
HTMX = {"HX-Request": "true", "HX-Boosted": "true"}


@pytest.fixture(scope="module")
async def account(console: Any) -> str:
    """The page of an account of acme's."""
    return f"/accounts/{(await debt(console.world))['id']}"


async def token_of(browser: Browser) -> str:
    """The token that every form of the session has."""
    page = await browser.get("/worklist")
    return next(form.fields[CSRF_FIELD] for form in page.forms if CSRF_FIELD in form.fields)


async def posted(browser: Browser, path: str, values: dict[str, Any], **headers: str) -> Page:
    """A form of our own making, with what every form has unless ``values`` have it."""
    own = {CSRF_FIELD: await token_of(browser), KEY_FIELD: uuid4().hex}
    return Page(await browser.client.post(path, data={**own, **values}, headers={**HTMX, **headers}))


@pytest.mark.parametrize("token", ["é", "", "0" * 64, "\x00", "x" * 5000])
@pytest.mark.parametrize("place", ["header", "field"])
async def test_a_token_of_whatever_signs_is_refused_unless_it_is_the_right_one(
    console: Any, token: str, place: str
) -> None:
    browser = await console.browser("acme.admin")
    headers = {"X-CSRF-Token": token.encode()} if place == "header" else {}
    data = {CSRF_FIELD: token} if place == "field" else {}
    answer = await browser.client.post("/logout", data=data, headers=headers, follow_redirects=False)
    assert answer.status_code == FORBIDDEN


@pytest.mark.parametrize("form_id", ["ł", "note-form .x, body", "²", "-", "a" * 5000, "x\r\nSet-Cookie: a=b"])
async def test_the_place_of_a_problem_is_an_id_or_the_page_itself(
    console: Any, account: str, form_id: str
) -> None:
    page = await posted(
        await console.browser("acme.admin"), f"{account}/notes", {FORM_FIELD: form_id, "text": ""}
    )
    assert page.status == httpx.codes.UNPROCESSABLE_ENTITY, page.text
    place = page.answer.headers["hx-retarget"]
    assert place in {"#problem", f"#{form_id} .form-problem"}
    assert place.isascii()
    assert len(place) < 200


async def test_a_login_leads_back_to_a_page_that_is_narrowed_by_much(console: Any) -> None:
    path = (
        f"/accounts?search={'long+name+' * 19}&{'&'.join(f'risk_level={level}' for level in ('LOW', 'HIGH'))}"
    )
    browser = await console.new_browser(None)
    page = await browser.get(path)
    form = page.forms[0]
    answer = await browser.client.post(
        form.action,
        data={**form.fields, "username": "acme.admin", "password": PASSWORD},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (httpx.codes.SEE_OTHER, path)


async def test_an_address_that_is_too_long_to_be_led_back_to_leads_to_the_login_all_the_same(
    console: Any,
) -> None:
    page = await (await console.new_browser(None)).get(f"/worklist?search={'x' * 9000}")
    assert (page.status, page.path) == (httpx.codes.OK, "/login")


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/breaks/{id}/assign", {}),
        ("/breaks/{id}/assign", {"version": "x"}),
        ("/breaks/{id}/assign", {"version": ["1", "2"]}),
        ("/breaks/{id}/assign", {"version": "1", "owner": ["a", "b"]}),
        ("/breaks/{id}/assign", {"version": "1", "owner": "x" * 10_000}),
        ("/breaks/{id}/assign", {"version": "9" * 5000}),
        ("/accounts/{id}/contacts", {"outcome": ["none", "other"]}),
        ("/accounts/{id}/contacts", {"outcome": "none", "at": ["2026-01-01T00:00", "x"]}),
        ("/accounts/{id}/contacts", {"outcome": "none", "at": "0001-01-01T00:00+14:00", "channel": "call"}),
        ("/accounts/{id}/contacts", {"outcome": "none", "at": "9999-12-31T23:59", "channel": "call"}),
        ("/accounts/{id}/payments", {"way": ["card", "cash"]}),
        ("/accounts/{id}/payments", {"way": "cash", "amount": ["1", "2"]}),
        ("/accounts/{id}/plans/preview", {"by": ["x", "y"], "paid_by": ["card", "bank"]}),
        ("/accounts/{id}/plans", {"paid_by": "card", "card": ["a", "b"]}),
        ("/exports", {"list": "accounts", "query": "\x00=%00&a&&=;=%ff"}),
        ("/exports", {"query": "a"}),
        ("/settings/sources/new", {"profile": "x"}),
        ("/settings/sources/new", {"profile": "x", "profile.delimiter": ","}),
        ("/settings/sources/new", {"profile.columns": "=\x00", "profile.": "x"}),
        ("/settings/agency", {"name.first": "x", "name": "x"}),
        ("/settings/agencies", {"name": "\x00"}),
        ("/agency", {"agency": "\x00"}),
        ("/schedules/a/../b/trigger", {}),
        ("/schedules/%00/pause", {"note": "\x00"}),
        ("/accounts/{id}/holds/%00/release", {}),
        ("/accounts/{id}/notes", {"text": "\x00"}),
        ("/accounts/{id}/notes", {"text": "x", KEY_FIELD: "\x00"}),
        ("/accounts/{id}/notes", {"text": "x", KEY_FIELD: "k" * 5000}),
        ("/accounts/{id}/notes", {"text": "x", KEY_FIELD: ["k", "l"]}),
        ("/accounts/{id}/notes", {"text": "x", KEY_FIELD: ""}),
    ],
)
async def test_what_no_form_of_ours_sends_is_refused_in_words(
    console: Any, account: str, path: str, values: dict[str, Any]
) -> None:
    where = path.format(id=account.rpartition("/")[2])
    for who in ("acme.admin", "platform"):
        page = await posted(await console.browser(who), where, values)
        assert page.status < BROKEN, (who, page.text)


@pytest.mark.parametrize("body", [b"--x\r\nbroken", b"", b"\xff\xfe%00=%ff"])
@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain", ""])
async def test_a_body_that_is_no_form_is_refused(console: Any, account: str, kind: str, body: bytes) -> None:
    browser = await console.browser("acme.admin")
    token = await token_of(browser)
    for headers in ({}, {"X-CSRF-Token": token}):
        answer = await browser.client.post(
            f"{account}/notes", content=body, headers={**HTMX, **headers, "Content-Type": kind}
        )
        assert httpx.codes.BAD_REQUEST <= answer.status_code < BROKEN, answer.text


@pytest.mark.parametrize("username", ["\x00", "é\x00", "x" * 1000, "\u202e", "' OR 1=1 --", "<b>x"])
async def test_a_login_with_an_odd_name_is_refused(console: Any, username: str) -> None:
    browser = await console.new_browser(None)
    for password in ("\x00", "x" * 1000, PASSWORD):
        data = {"username": username, "password": password}
        answer = await browser.client.post("/login", data=data)
        assert httpx.codes.BAD_REQUEST <= answer.status_code < BROKEN, answer.text
        assert "<b>x" not in answer.text


@pytest.mark.parametrize("path", ["/payments", "/plans"])
async def test_money_of_one_account_stays_narrowed_to_it_and_says_so(
    console: Any, account: str, path: str
) -> None:
    page = await console.get("acme.admin", f"{path}?account={account.rpartition('/')[2]}")
    assert page.status == httpx.codes.OK
    assert {account, path} <= set(page.links)
    assert "of one account" in page.text
    form = next(form for form in page.forms if form.action == path)
    assert form.fields["account"] == account.rpartition("/")[2]
    assert "of one account" not in (await console.get("acme.admin", path)).text


async def test_a_list_of_several_statuses_shows_each_of_them_as_chosen(console: Any) -> None:
    page = await console.get("acme.admin", "/payments?status=succeeded&status=refunded")
    assert page.html.count(" checked") == 2
    assert "Status: Succeeded, Refunded" in page.text


@pytest.mark.parametrize("sign", ["x", "é", "債", "😀", '"', "\\"])
def test_what_was_done_fits_a_cookie_and_comes_whole_where_it_can(sign: str) -> None:
    address = f"https://checkout.example/c/pay/{'x' * 900}"
    for text in (address, sign * 5000):
        given = done("/", text).headers["set-cookie"]
        assert len(given) < 4096
        value = given.split(";", 1)[0].partition("=")[2]
        said = read_notice({NOTICE_COOKIE: value})
        assert said is not None
        assert said.text == address or (said.text[:100] == text[:100] and said.text.endswith("…"))


def test_a_cookie_that_is_nested_without_end_says_nothing() -> None:
    assert read_notice({NOTICE_COOKIE: "[" * 30_000}) is None


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/x",
        "/accounts/%00/timeline",
        "/payments/1",
        "/breaks/%F0%9F%98%80",
        "/imports/x/lines/-1",
        "/imports/00000000-0000-0000-0000-000000000000/lines/99999999999999999999",
        "/scoring/runs/x/live",
        "/reconciliation/runs/x/breaks.csv",
    ],
)
async def test_an_address_that_cannot_be_is_not_there(console: Any, path: str) -> None:
    page = await console.get("acme.admin", path)
    assert page.status == httpx.codes.NOT_FOUND
    assert "There is nothing at this address" in page.text


@pytest.mark.parametrize("htmx", [False, True], ids=["whole", "htmx"])
@pytest.mark.parametrize("declared", [False, True], ids=["undeclared", "declared"])
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("text=" + "x" * (1 << 20), httpx.codes.REQUEST_ENTITY_TOO_LARGE, "send less at once"),
        ("&".join(f"f{n}=1" for n in range(1001)), httpx.codes.BAD_REQUEST, "Too many fields"),
    ],
    ids=["large", "many"],
)
async def test_a_form_that_cannot_be_read_is_answered_in_words(
    console: Any, body: str, status: int, words: str, *, declared: bool, htmx: bool
) -> None:
    browser = await console.browser("acme.admin")

    async def piecemeal() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536].encode()

    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    if htmx:
        headers |= {"Accept": "*/*", "HX-Request": "true", "HX-Boosted": "true", "HX-Target": "body"}
    for path in ("/accounts/00000000-0000-0000-0000-000000000000/notes", "/login"):
        sent = body.encode() if declared else piecemeal()
        page = Page(await browser.client.post(path, content=sent, headers=headers))
        assert page.status == status, path
        assert page.answer.headers["content-type"].startswith("text/html"), path
        assert words in page.text, path
        assert ("To the start" in page.text) is not htmx
        assert page.answer.headers.get("HX-Retarget") == ("#problem" if htmx else None)
