"""Exports in the console: asked for from the list as it is narrowed there."""

from typing import Any

import pytest

import services.exports
from tests.integration.api.people import collector_of, make, place, read


@pytest.mark.parametrize(
    ("who", "path", "name", "filters"),
    [
        ("acme.admin", "/accounts?status=new&search=love", "accounts", {"status": "new", "search": "love"}),
        ("acme.admin", "/accounts?status=new&status=assigned", "accounts", {"status": ["new", "assigned"]}),
        ("acme.auditor", "/payments", "payments", {}),
    ],
)
async def test_a_list_is_exported_as_it_is_narrowed(
    console: Any, who: str, path: str, name: str, filters: dict[str, Any]
) -> None:
    browser = await console.new_browser(who)
    page = await browser.get("/exports")
    token = next(form for form in page.forms if form.action == "/logout").fields["_csrf"]
    data = {"_csrf": token, "_key": f"key of {path}", "list": name, "query": path.partition("?")[2]}
    answer = await browser.client.post("/exports", data=data)
    assert answer.status_code == 200, answer.text
    [newest, *_] = (await console.world.call(who, "GET", "/exports")).json()["results"]
    assert (newest["list"], newest["filters"]) == (name, filters)
    assert newest["file_name"] in answer.text


async def test_a_list_with_rows_has_a_button_for_it_as_it_is_narrowed(console: Any) -> None:
    account = await place(console.world, await make(console.world), "10.00")
    browser = await console.browser("acme.admin")
    for query in (f"search={account['external_ref']}", f"search={account['external_ref']}&status=new"):
        page = await browser.get(f"/accounts?{query}")
        form = page.form("export-form")
        assert (form.fields["list"], form.fields["query"]) == ("accounts", query)
    nothing = await browser.get("/accounts?search=nobody-of-this-name")
    assert not nothing.has_form("export-form")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"list": "secrets"}, "List: "),
        ({"list": "accounts", "query": "statuss=new"}, "no such filter"),
        ({"list": "accounts", "query": "min_balance=lots"}, "min_balance"),
    ],
)
async def test_what_is_no_list_or_no_filter_of_it_is_refused(
    console: Any, given: dict[str, str], words: str
) -> None:
    browser = await console.browser("acme.admin")
    page = await browser.get("/exports")
    token = next(form for form in page.forms if form.action == "/logout").fields["_csrf"]
    answer = await browser.client.post("/exports", data={"_csrf": token, "_key": "k", **given})
    assert answer.status_code == 422
    assert words in answer.text


async def test_nobody_of_another_agency_gets_the_file(console: Any) -> None:
    [newest, *_] = (await console.world.call("acme.admin", "GET", "/exports")).json()["results"]
    page = await console.get("rival.admin", f"/exports/{newest['id']}/file")
    assert page.status == 404


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes the files here, so more may wait at once than elsewhere."""
    monkeypatch.setattr(services.exports, "AT_ONCE_PER_USER", 100)
    monkeypatch.setattr(services.exports, "AT_ONCE_PER_AGENCY", 100)


async def _asked(console: Any, who: str, name: str, query: str) -> Any:
    """The page of exports after one was asked for."""
    browser = await console.browser(who)
    token = next(form for form in (await browser.get("/exports")).forms if form.action == "/logout").fields
    data = {"_csrf": token["_csrf"], "_key": f"{who} {name} {query}", "list": name, "query": query}
    await browser.client.post("/exports", data=data)
    return await browser.get("/exports")


@pytest.mark.usefixtures("many")
async def test_what_a_list_was_narrowed_to_is_told_by_name(console: Any) -> None:
    world = console.world
    account = await place(world, await make(world), "10.00")
    creditor = (await read(world, f"/accounts/{account['id']}"))["creditor"]
    collector = await collector_of(world)
    partner = (await world.call("acme.admin", "POST", "/partners", {"name": "north-bank"})).json()
    asked = (
        ("accounts", f"creditor={creditor['id']}&collector={collector}&risk_level=HIGH&ordering=-balance"),
        ("worklist", "collector=none&search=a_b"),
        ("payments", f"account={account['id']}&status=succeeded"),
        ("breaks", f"partner_id={partner['id']}&owner=me"),
        ("accounts", f"debtor={account['debtor']['id']}"),
    )
    for name, query in asked:
        page = await _asked(console, "acme.auditor", name, query)
    told = (
        f"Collector: acme.collector; Creditor: {creditor['name']}; Risk level: High; Order: Largest balance",
        "Collector: nobody; Search: a_b",
        f"Account: {account['external_ref']}; Status: Succeeded",
        "Owner: whoever asked; Partner: north-bank",
        "Debtor: one debtor",
    )
    for words in told:
        assert words in page.text, page.text
    assert f"/accounts?debtor={account['debtor']['id']}" in page.links
    assert str(collector) not in page.text


@pytest.mark.usefixtures("many")
async def test_a_collector_learns_no_names_from_an_export(console: Any) -> None:
    account = await place(console.world, await make(console.world), "10.00")
    page = await _asked(console, "acme.collector", "payments", f"account={account['id']}")
    assert "Account: one account" in page.text
    assert account["external_ref"] not in page.html
