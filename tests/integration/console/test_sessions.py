"""Sessions of the console: what the cookie is, what ends it, and what a form has to bring along."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from console.rendering import POLICY
from domain.errors import Unauthenticated
from services.sessions import AUDIENCE, COOKIE, SessionService
from tests.integration.api.conftest import PASSWORD

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _cookie(console: Any, who: str) -> str:
    browser = await console.new_browser(who)
    return str(browser.client.cookies[COOKIE])


async def test_the_cookie_is_for_the_server_alone(console: Any) -> None:
    browser = await console.new_browser(None)
    answer = await browser.client.post(
        "/login", data={"username": "acme.admin", "password": PASSWORD}, follow_redirects=False
    )
    given = answer.headers["set-cookie"].lower()
    assert "httponly" in given
    assert "samesite=lax" in given
    over_tls = await browser.client.post(
        "https://test/login", data={"username": "acme.admin", "password": PASSWORD}, follow_redirects=False
    )
    assert "secure" in over_tls.headers["set-cookie"].lower()


async def test_the_login_says_what_the_installation_has_to_say(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await console.new_browser(None)
    assert "login-hint" not in (await browser.get("/login")).html
    monkeypatch.setattr(console.app.state, "login_hint", "Ask <Ada>;or Bea")
    page = await browser.get("/login")
    assert "<li>Ask &lt;Ada&gt;</li><li>or Bea</li>" in page.html
    refused = await browser.client.post("/login", data={"username": "acme.nobody", "password": "wrong"})
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert "<li>or Bea</li>" in refused.text


async def test_every_page_forbids_what_is_not_ours(console: Any) -> None:
    for who, path in ((None, "/login"), ("acme.admin", "/worklist"), ("acme.admin", "/nowhere")):
        page = await console.get(who, path)
        assert page.answer.headers["content-security-policy"] == POLICY
        assert "HX-Request" in page.answer.headers["vary"]
        assert page.answer.headers["cache-control"] == "no-store"
        assert "style=" not in page.html
        assert "<style" not in page.html


async def test_a_forged_or_foreign_cookie_is_nobody(console: Any) -> None:
    cookie = await _cookie(console, "acme.admin")
    secret = console.world.settings.jwt_secret.get_secret_value()
    claims = jwt.decode(cookie, secret, algorithms=["HS256"], audience=AUDIENCE)
    forged = [
        "",
        "nonsense",
        jwt.encode(claims, "another secret that is long enough for it", algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode({**claims, "aud": "recoup-api"}, secret, algorithm="HS256"),
        jwt.encode({**claims, "exp": 1}, secret, algorithm="HS256"),
        jwt.encode({**claims, "sid": str(UUID(int=7))}, secret, algorithm="HS256"),
        console.world.tokens["acme.admin"],
    ]
    for value in forged:
        browser = await console.new_browser(None)
        browser.client.cookies.set(COOKIE, value)
        assert (await browser.get("/worklist")).path == "/login?next=%2Fworklist"


async def test_the_cookie_of_a_session_is_no_token_of_the_api(console: Any) -> None:
    cookie = await _cookie(console, "acme.admin")
    answer = await console.world.call(None, "GET", "/auth/me", Authorization=f"Bearer {cookie}")
    assert answer.status_code == httpx.codes.UNAUTHORIZED


async def test_logging_out_ends_the_session_for_whoever_has_kept_its_cookie(console: Any) -> None:
    browser = await console.new_browser("acme.admin")
    cookie = browser.client.cookies[COOKIE]
    page = await browser.get("/worklist")
    logout = next(form for form in page.forms if form.action == "/logout")
    assert (await browser.send(logout)).path == "/login"
    browser.client.cookies.set(COOKIE, cookie)
    assert (await browser.get("/worklist")).path == "/login?next=%2Fworklist"


async def test_a_form_without_its_token_or_of_another_session_is_refused(console: Any) -> None:
    browser = await console.new_browser("acme.admin")
    other = await console.new_browser("acme.admin")
    page = await other.get("/worklist")
    foreign = next(form for form in page.forms if form.action == "/logout").fields["_csrf"]
    for data in ({}, {"_csrf": ""}, {"_csrf": foreign}):
        answer = await browser.client.post("/logout", data=data, headers=FORM, follow_redirects=False)
        assert answer.status_code == httpx.codes.FORBIDDEN
    assert (await browser.get("/worklist")).status == httpx.codes.OK


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_form_that_another_site_has_sent_is_refused(console: Any, path: str) -> None:
    browser = await console.new_browser("acme.admin")
    page = await browser.get("/worklist")
    token = next(form for form in page.forms if form.action == "/logout").fields["_csrf"]
    data = {"username": "acme.admin", "password": PASSWORD, "_csrf": token}
    answer = await browser.client.post(path, data=data, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\n/x"]
)
async def test_the_login_leads_only_to_our_own_pages(console: Any, address: str) -> None:
    browser = await console.new_browser(None)
    answer = await browser.client.post(
        "/login",
        data={"username": "acme.collector", "password": PASSWORD, "next": address},
        follow_redirects=False,
    )
    assert answer.headers["location"] == "/"


async def test_a_session_ends_unused_after_an_hour_and_in_any_case_after_twelve(console: Any) -> None:
    sessions: SessionService = console.world.services.sessions
    session = await sessions.open("acme.auditor", PASSWORD)
    now = datetime.now(UTC)
    secret = console.world.settings.jwt_secret.get_secret_value()

    def ends(began: datetime) -> datetime:
        cookie = sessions.cookie(replace(session, began=began))
        said = jwt.decode(
            cookie, secret, algorithms=["HS256"], audience=AUDIENCE, options={"verify_exp": False}
        )
        return datetime.fromtimestamp(said["exp"], UTC)

    assert timedelta(minutes=59) < ends(now) - now <= timedelta(minutes=61)
    assert ends(now - timedelta(hours=11, minutes=50)) - now <= timedelta(minutes=10, seconds=1)
    with pytest.raises(Unauthenticated):
        await sessions.visitor(sessions.cookie(replace(session, began=now - timedelta(hours=13))))


async def test_a_cookie_that_was_used_for_a_while_is_given_anew(console: Any) -> None:
    sessions: SessionService = console.world.services.sessions
    browser = await console.new_browser("acme.auditor")
    fresh = await browser.get("/worklist")
    assert "set-cookie" not in fresh.answer.headers
    session = (await sessions.visitor(browser.client.cookies[COOKIE])).session
    secret = console.world.settings.jwt_secret.get_secret_value()
    said = jwt.decode(sessions.cookie(session), secret, algorithms=["HS256"], audience=AUDIENCE)
    minutes_ago = {**said, "iat": said["iat"] - 120}
    browser.client.cookies.clear()
    browser.client.cookies.set(COOKIE, jwt.encode(minutes_ago, secret, algorithm="HS256"))
    assert COOKIE in (await browser.get("/worklist")).answer.headers["set-cookie"]


async def test_who_is_deactivated_is_out_at_once(console: Any) -> None:
    world = console.world
    made = await world.call(
        "acme.admin",
        "POST",
        "/users",
        {"username": "acme.leaver", "full_name": "Lea Ver", "role": "auditor", "password": PASSWORD},
    )
    browser = await console.new_browser("acme.leaver")
    assert (await browser.get("/worklist")).status == httpx.codes.OK
    await world.call("acme.admin", "PATCH", f"/users/{made.json()['id']}", {"active": False})
    assert (await browser.get("/worklist")).path == "/login?next=%2Fworklist"


async def test_a_script_is_led_to_the_login_by_its_header_and_back_to_the_page(console: Any) -> None:
    browser = await console.new_browser(None)
    answer = await browser.client.get(
        "/accounts",
        headers={"HX-Request": "true", "HX-Current-URL": "http://test/worklist?status=new"},
    )
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert answer.headers["hx-redirect"] == "/login?next=%2Fworklist%3Fstatus%3Dnew"
    stream = await browser.client.get("/imports/live", headers={"Accept": "text/event-stream"})
    assert stream.status_code == httpx.codes.UNAUTHORIZED


async def test_only_the_platform_picks_another_agency(console: Any) -> None:
    browser = await console.new_browser("acme.admin")
    page = await browser.get("/worklist")
    token = next(form for form in page.forms if form.action == "/logout").fields["_csrf"]
    answer = await browser.client.post("/agency", data={"agency": "rival", "_csrf": token})
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "Acme" in (await browser.get("/worklist")).text
