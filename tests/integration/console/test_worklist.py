"""The worklist and the accounts as lists: who sees what, filters, search, counts, paging."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from domain.tenancy import Tenant
from tests.integration.api.contacting import debt
from tests.integration.api.people import collector_of, make, place, set_account

OK = httpx.codes.OK
LISTS = ("/worklist", "/accounts")
ASSIGNED = "UPDATE account_score s SET collector_id = a.assigned_to FROM account a WHERE a.id = s.account_id"


@pytest.fixture(scope="module")
async def shelf(console: Any) -> dict[str, dict[str, Any]]:
    """Accounts by the name of their debtor; one is the collector's, one of another agency."""
    world = console.world
    made = {}
    for name, amount in (("Ada Lovelace", "12400.00"), ("Grace Hopper", "700.00"), ("Mary Shelley", "50.00")):
        made[name] = await place(world, await make(world, full_name=name), amount)
    await set_account(world, made["Grace Hopper"], assigned_to=await collector_of(world), status="in_contact")
    made["Rival Debtor"] = await place(
        world, await make(world, "rival.admin", full_name="Rival Debtor"), who="rival.admin"
    )
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(text(ASSIGNED))
    return made


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("platform", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("acme.admin", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("acme.auditor", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("acme.collector", {"Grace Hopper"}),
        ("rival.admin", {"Rival Debtor"}),
    ],
)
async def test_each_sees_the_accounts_that_are_theirs(
    console: Any, shelf: dict[str, Any], path: str, who: str, seen: set[str]
) -> None:
    page = await console.get(who, path)
    assert page.status == OK, page.text
    assert {name for name in shelf if name in page.text} == seen


@pytest.mark.parametrize("path", LISTS)
async def test_nobody_is_led_to_the_login_and_back(console: Any, path: str) -> None:
    page = await console.get(None, path)
    assert page.path == f"/login?next=%2F{path[1:]}"


async def test_the_reason_is_what_people_would_say_of_it(console: Any, shelf: Any) -> None:
    page = await console.get("acme.admin", "/worklist")
    assert "debt 6.2× income · 4 late payments" in page.text


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("search=lovel", {"Ada Lovelace"}),
        ("status=in_contact", {"Grace Hopper"}),
        ("status=in_contact&status=new", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("search=nobody-of-this-name", set()),
    ],
)
@pytest.mark.parametrize("path", LISTS)
async def test_filters_narrow_the_list_and_its_count(
    console: Any, shelf: dict[str, Any], path: str, query: str, seen: set[str]
) -> None:
    browser = await console.browser("acme.admin")
    block = await browser.block(f"{path}?{query}", "results")
    assert (block.status, "<html" in block.html, 'id="results"' in block.html) == (OK, False, True)
    assert {name for name in shelf if name in block.text} == seen
    count = await browser.block(f"{path}/count?{query}", "total")
    assert count.text == f"{len(seen)} account{'' if len(seen) == 1 else 's'}"
    assert ("No account fits" in block.text) is (not seen)


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("min_balance=100&max_balance=1000", {"Grace Hopper"}),
        ("ordering=-balance", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("priority=3&priority=2&priority=1&priority=0", {"Ada Lovelace", "Grace Hopper", "Mary Shelley"}),
        ("created_before=2001-01-01", set()),
    ],
)
async def test_accounts_have_every_filter_of_the_api(
    console: Any, shelf: dict[str, Any], query: str, seen: set[str]
) -> None:
    page = await console.get("acme.admin", f"/accounts?{query}")
    assert {name for name in shelf if name in page.text} == seen
    chosen = next(form for form in page.forms if form.action == "/accounts").fields
    for part in query.split("&"):
        name, _, value = part.partition("=")
        assert name in chosen
        assert chosen[name] == value or name == "priority"


async def test_collectors_pick_no_other_collector(console: Any, shelf: Any) -> None:
    for path in LISTS:
        own, admins = await console.get("acme.collector", path), await console.get("acme.admin", path)
        assert not any("collector" in form.options for form in own.forms)
        offered = next(form.options["collector"] for form in admins.forms if "collector" in form.options)
        assert str(await collector_of(console.world)) in offered
        assert any("creditor" in form.options for form in own.forms)


@pytest.mark.parametrize("path", LISTS)
async def test_long_lists_say_that_there_are_more(
    console: Any, shelf: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await console.browser("acme.admin")
    for module in ("services.accounts", "services.worklist", "services.counting"):
        monkeypatch.setattr(f"{module}.COUNTED_TO", 1)
    assert (await browser.block(f"{path}/count", "total")).text == "1+ accounts"


@pytest.mark.parametrize("path", LISTS)
async def test_pages_lead_on_and_back(console: Any, shelf: Any, path: str) -> None:
    browser = await console.browser("acme.admin")
    first = await browser.get(f"{path}?page_size=1")
    [on] = [link for link in first.links if "cursor=" in link]
    second = await browser.get(on)
    back = [link for link in second.links if "cursor=" in link]
    assert (second.status, len(back)) == (OK, 2)
    accounts = [{link for link in page.links if link.startswith("/accounts/")} for page in (first, second)]
    assert accounts[0].isdisjoint(accounts[1])
    assert "cursor" not in (await browser.block(on, "results")).html.split('id="total"')[1].split(">")[0]


@pytest.mark.parametrize("path", LISTS)
async def test_filters_left_empty_are_left_out_of_the_address(console: Any, path: str) -> None:
    page = await console.get("acme.admin", f"{path}?search=&status=&creditor=")
    assert page.path == path


@pytest.mark.parametrize("path", LISTS)
async def test_a_filter_that_makes_no_sense_is_named(console: Any, path: str) -> None:
    page = await console.get("acme.admin", f"{path}?status=lost")
    assert page.status == httpx.codes.UNPROCESSABLE_ENTITY
    assert "Status" in page.text


async def test_accounts_that_are_nobodys_are_found_by_the_filter(console: Any) -> None:
    account = await place(console.world, await make(console.world), "10.00")
    assigned = await debt(console.world)
    page = await console.get("acme.admin", f"/accounts?collector=none&search={account['external_ref']}")
    assert f"/accounts/{account['id']}" in page.links
    [form] = [form for form in page.forms if form.action == "/accounts"]
    assert (form.fields["collector"], form.options["collector"][:2]) == ("none", ["", "none"])
    none = await console.get("acme.admin", f"/accounts?collector=none&search={assigned['external_ref']}")
    assert "No account fits" in none.text
    refused = await console.get("acme.admin", "/accounts?collector=me")
    assert "must be the id of a collector, or “none”" in refused.text
