"""Users, collectors, creditors and SFTP sources, made and changed by forms; one's own password."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.tenancy import Tenant
from tests.integration.api.conftest import PASSWORD
from tests.integration.console.browser import Browser, Form, Page

NEW_PASSWORD = "another long password"


def following(page: Page, prefix: str, text: str) -> str:
    """Where a link of a list leads that has this text."""
    place = page.html.index(f">{text}</a>")
    href = page.html.rindex('href="', 0, place) + len('href="')
    address = page.html[href : page.html.index('"', href)]
    assert address.startswith(prefix)
    return address


async def log_in(console: Any, username: str, password: str) -> Page:
    browser: Browser = await console.new_browser(None)
    form = (await browser.get("/login")).forms[0]
    return await browser.send(form, username=username, password=password)


async def user_of(console: Any, username: str) -> dict[str, Any]:
    users = (await console.world.call("acme.admin", "GET", "/users?page_size=500")).json()["results"]
    return next(user for user in users if user["username"] == username)


async def made(console: Any, username: str, role: str = "collector") -> str:
    """The page of a user who was made by the form."""
    values = {"full_name": username.title(), "username": username, "role": role, "password": PASSWORD}
    page = await console.send("acme.admin", "/settings/users", "new-user-form", **values)
    assert page.status == httpx.codes.OK, page.text
    return f"/settings/users/{(await user_of(console, username))['id']}"


async def test_a_collector_is_made_of_a_user_who_then_works(console: Any) -> None:
    browser = await console.browser("acme.admin")
    form = (await browser.get("/settings/users")).form("new-user-form")
    values = {"full_name": "Nora New", "username": "Nora.New", "role": "collector", "password": PASSWORD}

    pages = [await browser.send(form, **values) for _ in range(2)]
    limit = pages[0].form("new-collector-form")
    added = await browser.send(limit, max_accounts="12")
    address = following(added, "/settings/collectors/", "Nora New")
    changed = await console.send("acme.admin", address, "collector", max_accounts="0")
    off = await console.send("acme.admin", address, "state")

    assert {page.path for page in pages} == {"/settings/collectors"}
    assert "Nora New (nora.new)" in pages[0].text
    assert "at most 12" in added.text
    assert "Nora New is saved" in changed.text
    assert "Deactivated" in off.text
    assert (await log_in(console, "nora.new", PASSWORD)).path == "/worklist"


async def test_a_user_that_cannot_be_is_refused_beside_the_form(console: Any) -> None:
    values = {"full_name": "X", "username": "acme.auditor", "role": "auditor", "password": PASSWORD}
    cases = {
        "taken": values,
        "short": {**values, "username": "x.y", "password": "short"},
        "platform": {**values, "username": "x.y", "role": "platform_admin"},
        "same": {**values, "username": "somebody1", "password": "somebody1"},
    }
    answers = {
        case: await console.send("acme.admin", "/settings/users", "new-user-form", **sent)
        for case, sent in cases.items()
    }

    assert {case: page.status for case, page in answers.items()} == {
        "taken": 409,
        "short": 422,
        "platform": 422,
        "same": 422,
    }
    assert {page.answer.headers["HX-Retarget"] for page in answers.values()} == {
        "#new-user-form .form-problem"
    }
    assert "8 to 128 characters" in answers["short"].text
    assert "short" not in answers["short"].text.replace("8 to 128 characters", "")


async def test_a_reset_password_or_a_new_role_ends_all_logins(console: Any) -> None:
    address = await made(console, "olga", "auditor")
    assert (await log_in(console, "olga", PASSWORD)).path == "/dashboard"
    browser: Browser = await console.new_browser(None)
    await browser.send((await browser.get("/login")).forms[0], username="olga", password=PASSWORD)
    assert (await browser.get("/imports")).path == "/imports"

    page = await console.send("acme.admin", address, "reset", password=NEW_PASSWORD)

    assert "their logins have ended" in page.text
    assert (await browser.get("/imports")).path.startswith("/login")
    assert "/login" in (await log_in(console, "olga", PASSWORD)).path
    assert (await log_in(console, "olga", NEW_PASSWORD)).path == "/dashboard"
    saved = await console.send("acme.admin", address, "user", full_name="Olga O", email="")
    assert "Olga O is saved" in saved.text
    assert "logins" not in saved.text
    off = await console.send("acme.admin", address, "state")
    assert "Deactivated" in off.text
    assert "/login" in (await log_in(console, "olga", NEW_PASSWORD)).path


async def test_nobody_can_lock_themselves_out(console: Any) -> None:
    own = await user_of(console, "acme.admin")
    page = await console.get("acme.admin", f"/settings/users/{own['id']}")

    assert not page.has_form("state")
    assert "role" not in page.form("user").fields
    forced = await (await console.browser("acme.admin")).send(page.form("user"), active="false")
    assert forced.status == httpx.codes.CONFLICT


@pytest.mark.parametrize("kind", ["users", "collectors", "creditors", "sources"])
async def test_another_agencys_are_not_there(console: Any, kind: str, host_key: str) -> None:
    if kind == "sources":
        await sftp(console, host_key, name="Theirs")
    page = await console.get("acme.admin", f"/settings/{kind}")
    address = next(link for link in page.links if link.startswith(f"/settings/{kind}/") and "new" not in link)

    own = await console.get("acme.admin", address)
    statuses = [(await console.get(who, address)).status for who in ("rival.admin", "acme.auditor")]
    form = Form("x", address, {**own.forms[-1].fields, "name": "Mine", "full_name": "Mine"})
    form.fields["_csrf"] = (
        (await console.get("rival.admin", "/settings/password")).form("password").fields["_csrf"]
    )
    sent = await (await console.browser("rival.admin")).send(form)

    assert own.status == httpx.codes.OK
    assert statuses == [404, 403]
    assert sent.status == httpx.codes.NOT_FOUND


async def test_creditors_have_one_default(console: Any) -> None:
    path = "/settings/creditors"
    added = await console.send("acme.admin", path, "new-creditor-form", name="Northlight")
    taken = await console.send("acme.admin", path, "new-creditor-form", name="Northlight")
    address = following(added, path, "Northlight")
    default = await console.send("acme.admin", address, "default")
    old = following(default, path, "Default")
    closed = await console.send("acme.admin", old, "state")

    assert taken.status == httpx.codes.CONFLICT
    assert not (await console.get("acme.admin", address)).has_form("default")
    assert "Deactivated" in closed.text


async def sftp(console: Any, key_of_host: str, **values: str) -> Page:
    form = {"name": "Northlight", "host": "sftp.example.test", "username": "n", "password": "s3cr3t-word"}
    page: Page = await console.send(
        "acme.admin",
        "/settings/sources/new",
        "source",
        **{**form, "host_key": f"{key_of_host}\r\n", **values},
    )
    return page


async def test_an_sftp_source_is_set_up_and_its_secrets_never_come_out(console: Any, host_key: str) -> None:
    layout = {"profile.delimiter": ";", "profile.columns": "Ref = external_ref\r\n\r\nWho=debtor_name"}

    page = await sftp(console, host_key, **layout, **{"profile.marker": "TRAILER"})
    address = following(page, "/settings/sources/", "Northlight")
    shown = await console.get("acme.admin", address)
    form = shown.form("source").fields
    kept = await console.send("acme.admin", address, "source", host="other.example.test", password="")
    nothing_left = await console.send("acme.admin", address, "source", remove_password="yes")
    off = await console.send("acme.admin", address, "state")

    assert "n@sftp.example.test:22" in page.text
    assert "s3cr3t-word" not in shown.html
    assert form["password"] == ""
    assert form["profile.delimiter"] == ";"
    assert form["profile.columns"].split("\n")[:2] == ["Ref = external_ref", "Who = debtor_name"]
    assert "Northlight is saved" in kept.text
    assert nothing_left.status == httpx.codes.UNPROCESSABLE_ENTITY
    assert "password or a private key" in nothing_left.text
    assert "Deactivated" in off.text
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        source = await tx.sources.get(UUID(address.rpartition("/")[2]))
        secrets = await tx.sources.endpoint_secrets(source.id)
    assert secrets.password == "s3cr3t-word"
    assert source.host == "other.example.test"
    assert source.profile["control"] == {"marker": "TRAILER"}


async def test_a_source_that_could_never_work_is_refused_beside_the_form(console: Any, host_key: str) -> None:
    cases = {
        "host_key": ({"host_key": "no key"}, "no OpenSSH public key"),
        "port": ({"port": "0"}, "Port"),
        "columns": ({"profile.columns": "Ref external_ref"}, "line 1 of the columns"),
        "field": ({"profile.columns": "Ref = reference"}, "unknown fields reference"),
        "share": ({"profile.max_bad_share": "2"}, "Profile"),
    }
    for values, said in cases.values():
        page = await sftp(console, host_key, **values)
        assert page.status == httpx.codes.UNPROCESSABLE_ENTITY
        assert said.lower() in page.text.lower()
        assert "s3cr3t-word" not in page.html


@pytest.mark.parametrize("who", ["rival.collector", "rival.auditor"])
async def test_everybody_changes_their_own_password_which_ends_all_logins(console: Any, who: str) -> None:
    browser = await console.new_browser(who)
    other = await console.new_browser(who)
    path = "/settings/password"
    wrong = await browser.send(
        (await browser.get(path)).form("password"), current_password="no", new_password=NEW_PASSWORD
    )
    short = await browser.send(
        (await browser.get(path)).form("password"), current_password=PASSWORD, new_password="short"
    )

    done = await browser.send(
        (await browser.get(path)).form("password"), current_password=PASSWORD, new_password=NEW_PASSWORD
    )

    assert (wrong.status, short.status) == (422, 422)
    assert "not the current password" in wrong.text
    assert done.path == "/login"
    assert "log in with the new one" in done.text
    assert (await other.get("/worklist")).path.startswith("/login")
    assert "/login" not in (await log_in(console, who, NEW_PASSWORD)).path
