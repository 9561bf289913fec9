"""Settings' pages: who sees and changes what of an agency, and what the platform does."""

from typing import Any

import httpx
import pytest

from db.stripe_credentials import Webhook
from domain.tenancy import Tenant
from tests.integration.console.browser import Page

PAGES = ("agency", "users", "collectors", "assignments", "creditors", "sources", "stripe")


async def refused(console: Any, who: str, path: str, form_id: str, /, **values: Any) -> str:
    """What stands beside a form that was refused."""
    page = await console.send(who, path, form_id, **values)
    assert page.status == httpx.codes.UNPROCESSABLE_ENTITY, page.text
    assert page.answer.headers["HX-Retarget"] == f"#{form_id} .form-problem"
    return str(page.text)


@pytest.mark.parametrize("page", PAGES)
async def test_who_sees_the_settings(console: Any, page: str) -> None:
    path = f"/settings/{page}"
    seen = {
        who: (await console.get(who, path)).status
        for who in ("platform", "acme.admin", "acme.auditor", "acme.collector")
    }
    auditor = await console.get("acme.auditor", path)

    assert seen == {"platform": 200, "acme.admin": 200, "acme.auditor": 200, "acme.collector": 403}
    assert not [form for form in auditor.forms if form.action.startswith("/settings")]


async def test_everybody_is_led_to_what_there_is_for_them(console: Any) -> None:
    assert (await console.get("acme.admin", "/settings")).path == "/settings/agency"
    assert (await console.get("acme.collector", "/settings")).path == "/settings/password"
    assert "/settings/password" in (await console.get("acme.collector", "/worklist")).links


async def test_an_administrator_sets_their_agencys_terms_and_no_more(console: Any) -> None:
    page = await console.get("acme.admin", "/settings/agency")
    form = page.form("agency")
    browser = await console.browser("acme.admin")

    saved = await browser.send(form, least_settlement_percent="45", overpayments="credit")
    beyond = await browser.send((await browser.get("/settings/agency")).form("agency"), name="Other")
    wrong = await refused(console, "acme.admin", "/settings/agency", "agency", least_settlement_percent="101")
    half = await refused(console, "acme.admin", "/settings/agency", "agency", least_settlement_percent="4.5")

    assert {"time_zone", "name"}.isdisjoint(form.fields)
    assert "are saved" in saved.text
    now = (await browser.get("/settings/agency")).form("agency").fields
    assert (now["least_settlement_percent"], now["overpayments"]) == ("45", "credit")
    assert beyond.status == httpx.codes.FORBIDDEN
    assert "Least settlement percent" in wrong
    assert "Least settlement percent" in half


async def test_the_platform_changes_what_differs_and_empties_what_may_be_empty(console: Any) -> None:
    world, path = console.world, "/settings/agency"
    set_to = await console.send("platform", path, "agency", high_priority_threshold="99.50", name="Acme Inc")
    emptied = await console.send("platform", path, "agency", high_priority_threshold="")
    blank = await refused(console, "platform", path, "agency", name=" ")
    zone = await refused(console, "platform", path, "agency", time_zone="Mars/Base")

    assert (set_to.status, emptied.status) == (200, 200)
    agency = (await world.call("acme.admin", "GET", f"/agencies/{world.agencies['acme']}")).json()
    assert (agency["name"], agency["high_priority_threshold"]) == ("Acme Inc", None)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        changed = [
            set(record.new)
            for record in await tx.audit.of("agency", world.agencies["acme"])
            if record.action == "agency.changed" and record.actor == "platform"
        ]
    assert changed == [{"name", "high_priority_threshold"}, {"high_priority_threshold"}]
    assert "Name" in blank
    assert "IANA time zone" in zone


async def test_an_unchanged_form_has_no_account_scored_anew(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def score_all(_: Any, requested_by: str) -> None:
        asked.append(requested_by)

    monkeypatch.setattr(console.world.services.agencies, "_score_all", score_all)
    await console.send("platform", "/settings/agency", "agency", lifecycle_capacity="7")
    assert asked == []
    await console.send("platform", "/settings/agency", "agency", scorecard="recovery-v1-ecoa")
    assert asked == ["platform"]


async def test_secrets_of_stripe_go_in_and_never_out(console: Any) -> None:
    world = console.world
    empty = await console.get("acme.admin", "/settings/stripe")
    wrong = await refused(console, "acme.admin", "/settings/stripe", "stripe", secret_key="pk_test_x9z8y7")
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.stripe_credentials.put(
            secret_key="sk_test_x9z8y7",
            account_ref="acct_1",
            webhook_secret="whsec_x9z8y7",
            webhook=Webhook("we_1", "https://example.test"),
        )
    page = await console.get("acme.admin", "/settings/stripe")

    assert "No payments can be taken yet" in empty.text
    assert "sk_… or rk_…" in wrong
    assert "x9z8y7" not in wrong
    assert "acct_1" in page.text
    assert "x9z8y7" not in page.html


def pick(page: Page, slug: str) -> Any:
    return page.form(f"pick-{slug}")


async def test_who_has_picked_no_agency_is_asked_to(console: Any) -> None:
    browser = await console.new_browser(None)
    login = await browser.get("/login")
    await browser.send(login.forms[0], username="platform", password="correct horse battery")

    for path in ("/", "/worklist", "/imports", "/scoring", "/schedules", "/settings", "/settings/users"):
        page = await browser.get(path)
        assert (page.path, page.status) == ("/settings/agencies", 200), path
        assert "Pick an agency" in page.text

    await browser.send(pick(await browser.get("/settings/agencies"), "rival"))
    page = await browser.get("/imports")
    assert page.path == "/imports"
    assert "Rival" in page.text


async def test_the_platform_makes_an_agency_whose_pages_say_what_to_do(console: Any) -> None:
    browser = await console.new_browser("platform")
    path, values = "/settings/agencies", {"name": "Fresh Start", "slug": "fresh"}
    form = (await browser.get(path)).form("new-agency-form")

    made = [await browser.send(form, **values) for _ in range(2)]
    again = await refused_or_conflict(browser, path, values)
    await browser.send(pick(await browser.get(path), "fresh"))
    empty = {
        "/imports": "Nothing was imported yet",
        "/scoring": "Nothing was scored yet",
        "/scoring/fairness": "Nothing to compare",
        "/settings/users": "Nobody can log in to this agency yet",
        "/settings/collectors": "No collectors yet",
        "/settings/sources": "No SFTP sources yet",
        "/settings/stripe": "No payments can be taken yet",
        "/settings/assignments": "Nothing was assigned yet",
    }
    said = {address: (await browser.get(address)).text for address in empty}

    assert all("Fresh Start is made" in page.text for page in made)
    assert again.status == httpx.codes.CONFLICT
    assert {address: text in said[address] for address, text in empty.items()} == dict.fromkeys(empty, True)


async def refused_or_conflict(browser: Any, path: str, values: dict[str, str]) -> Page:
    page: Page = await browser.send((await browser.get(path)).form("new-agency-form"), **values)
    return page


async def test_a_deactivated_agency_is_looked_at_no_more(console: Any) -> None:
    browser = await console.new_browser("platform")
    path = "/settings/agencies"
    form = (await browser.get(path)).form("new-agency-form")
    await browser.send(form, name="Short Lived", slug="short")
    await browser.send(pick(await browser.get(path), "short"))

    off = await browser.send((await browser.get(path)).form("off-short-form"))
    page = await browser.get("/imports")
    on = await browser.send((await browser.get(path)).form("on-short"))

    assert "Short Lived is deactivated" in off.text
    assert page.path == path
    assert "Short Lived is active" in on.text


@pytest.mark.parametrize("who", ["acme.admin", "acme.auditor", "acme.collector"])
async def test_agencies_are_the_platforms(console: Any, who: str) -> None:
    page = await console.get(who, "/settings/agencies")
    assert page.status == httpx.codes.FORBIDDEN
    assert "/settings/agencies" not in (await console.get(who, "/settings/password")).links


async def test_assignment_is_previewed_and_started_once(console: Any) -> None:
    browser = await console.browser("acme.admin")
    preview = await browser.get("/settings/assignments/preview")
    form = preview.form("assign")

    started = [await browser.send(form) for _ in range(2)]
    second = await browser.send((await browser.get("/settings/assignments")).form("assign"))
    auditor = await console.browser("acme.auditor")

    assert "accounts would be assigned" in preview.text
    assert all("are being assigned" in page.text for page in started)
    assert "data-stream" in started[0].html
    assert second.status == httpx.codes.CONFLICT
    assert (await auditor.get("/settings/assignments/preview")).status == httpx.codes.FORBIDDEN
    assert "acme.admin" in (await auditor.get("/settings/assignments")).text
