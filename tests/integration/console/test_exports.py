"""Exports in the console: asked for from the list as it is narrowed there."""

from typing import Any

import pytest


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


async def test_a_list_with_rows_has_a_button_for_it(console: Any) -> None:
    page = await console.get("acme.collector", "/worklist")
    assert page.has_form("export-form") == ("data-row" in page.html)


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
