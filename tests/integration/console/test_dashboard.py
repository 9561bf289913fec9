"""The dashboard: the API's own figures, each of which leads to the list that it counts."""

import html
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox.processes import until
from services.analytics import AnalyticsService, FiguresNotReady
from tests.integration.api.people import make, place, read
from tests.integration.api.test_analytics import at_once, pay, run, story

__all__ = ["at_once", "story"]
OK = httpx.codes.OK


def cards(page: Any) -> dict[str, tuple[str, str]]:
    """By title, the figure of each card and where it leads; nothing for nowhere."""
    found = {}
    row = page.html.split('class="row row-cards', 2)[1]
    for card in row.split('<div class="col-6 col-lg-3">')[1:]:
        title = re.search(r'subheader">([^<]+)<', card)
        figure = re.search(r"kpi[^>]*>(?:<a[^>]*>)?([^<]+)<", card)
        href = re.search(r'href="([^"]+)"', card)
        assert title is not None, card
        assert figure is not None, card
        found[title[1]] = (figure[1], html.unescape(href[1]) if href else "")
    return found


def rows(page: Any) -> int:
    """How many rows a list shows."""
    return int(page.html.count("<tr data-row"))


async def test_the_cards_say_what_the_api_says(console: Any, story: Any) -> None:
    said = await read(story, "/analytics/dashboard")
    shown = cards(await console.get("acme.admin", "/dashboard"))
    assert {title: figure for title, (figure, _) in shown.items()} == {
        "Open accounts": str(said["open"]["accounts"]),
        "Open balance": f"${Decimal(said['open']['balance']):,.0f}",
        "Collected": f"${Decimal(said['money']['collected']):,.2f}",
        "Recovery rate": f"{Decimal(said['recovery_rate']) * 100:.1f} %",
        "Promises kept": f"{Decimal(said['promises']['kept_rate']) * 100:.1f} %",
        "Right-party contacts": f"{Decimal(said['contacts']['right_party_rate']) * 100:.1f} %",
        "Open breaks": f"${Decimal(said['breaks']['value']):,.0f}",
        "Owed back to debtors": f"${Decimal(said['owed_back']):,.2f}",
    }


async def test_a_card_leads_to_the_list_of_what_it_counts(console: Any, story: Any) -> None:
    said = await read(story, "/analytics/dashboard")
    shown = cards(await console.get("acme.admin", "/dashboard"))
    counted = {
        "Open accounts": said["open"]["accounts"],
        "Open balance": said["open"]["accounts"],
        "Collected": said["money"]["payments"],
        "Recovery rate": said["money"]["payments"],
        "Promises kept": 1,
        "Right-party contacts": 1,
        "Open breaks": said["breaks"]["open"],
        "Owed back to debtors": 0,
    }
    assert shown.keys() == counted.keys()
    for title, number in counted.items():
        listed = await console.get("acme.admin", shown[title][1])
        assert (listed.status, rows(listed)) == (OK, number), title


async def test_promises_lead_to_the_accounts_with_those_of_each_outcome(console: Any, story: Any) -> None:
    page = await console.get("acme.admin", "/dashboard")
    parts = re.findall(r'href="(/accounts\?promise=\w+)" title="([^"]+)">(\d+ \w+)<', page.html)
    assert [(title, text) for _, title, text in parts] == [
        ("Accounts with a kept promise", "2 kept"),
        ("Accounts with a broken promise", "1 broken"),
        ("Accounts with an open promise", "0 open"),
    ]
    # Two promises of one account were kept: that is one account with a kept promise.
    shown = [rows(await console.get("acme.admin", href)) for href, _, _ in parts]
    assert shown == [1, 1, 0]


async def test_every_row_of_a_chart_leads_to_as_many_accounts_as_it_says(console: Any, story: Any) -> None:
    # One account has no due date: the day of its charge-off counts.
    charged_off = "UPDATE account SET charge_off_date = current_date - 400 WHERE agency_id = :agency AND"
    await run(story, "acme", f"{charged_off} due_date IS NULL AND balance = 500")
    page = await console.get("acme.admin", "/dashboard")
    said = await read(story, "/analytics/dashboard")
    assert {"31-60": 1, "90+": 1}.items() <= {one["bucket"]: one["accounts"] for one in said["aging"]}.items()
    for chart, figures in (("funnel", said["statuses"]), ("aging", said["aging"]), ("risk", said["risk"])):
        body = page.html.split(f'id="{chart}">', 1)[1].split("</table>", 1)[0].split("<tbody>", 1)[1]
        lines = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
        assert len(lines) == len(figures)
        for line, figure in zip(lines, figures, strict=True):
            href = re.search(r'href="([^"]+)"', line)
            if href is None:
                assert figure["risk_level"] is None
                continue
            listed = await console.get("acme.admin", html.unescape(href[1]))
            assert rows(listed) == figure["accounts"], (chart, figure)


async def test_payments_say_whose_account_they_are_on(console: Any, story: Any) -> None:
    page = await console.get("acme.admin", "/payments")
    payments = (await read(story, "/payments"))["results"]
    accounts = [await read(story, f"/accounts/{payment['account_id']}") for payment in payments]
    account = next(one for one in accounts if one["assigned_to"] is None)
    assert account["external_ref"] in page.text
    assert account["debtor"]["full_name"] in page.text
    assert ">Account</a>" not in page.html
    assert account["external_ref"] not in (await console.get("acme.collector", "/payments")).html
    assert account["external_ref"] not in (await console.get("rival.admin", "/payments")).html


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_payments_are_cut_by_day_week_and_month(console: Any, story: Any, period: str) -> None:
    said = await read(story, "/analytics/payments/trends", period=period)
    page = await console.get("acme.admin", f"/dashboard?period={period}")
    values = re.findall(r'data-value="([0-9.]+)"[^>]*>[^<]*</td></tr>', page.html.split('id="trend"')[1])
    collected = [Decimal(point["collected"]) for point in said["points"]]
    assert [Decimal(value) for value in values[: len(collected)]] == collected
    assert sum(collected) == Decimal("650.00")
    assert f'href="/dashboard?period={period}" aria-current="true"' in page.html


async def test_the_figures_are_those_of_the_agency(console: Any, story: Any) -> None:
    assert cards(await console.get("rival.admin", "/dashboard"))["Open balance"][0] == "$70"
    assert (await console.get("acme.collector", "/dashboard")).status == httpx.codes.FORBIDDEN
    looked = await console.get("acme.auditor", "/dashboard")
    assert looked.status == OK
    assert not looked.has_form("refresh-form")


async def test_they_can_be_counted_anew_once_for_each_form(console: Any, story: Any) -> None:
    page = await console.send("acme.admin", "/dashboard", "refresh-form")
    assert urlsplit(page.path).path == "/dashboard"
    assert "The figures are new." in page.text
    refused = await console.get("acme.admin", "/dashboard?period=century")
    assert refused.status == httpx.codes.UNPROCESSABLE_ENTITY


async def test_what_is_counted_for_the_first_time_takes_the_place_of_the_whole_page(
    console: Any, story: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await console.browser("acme.admin")
    counted = await browser.block("/dashboard", "figures")

    async def not_yet(*_: Any) -> None:
        raise FiguresNotReady("the figures are counted for the first time")

    with monkeypatch.context() as patch:
        patch.setattr(AnalyticsService, "dashboard", not_yet)
        waiting = await browser.get("/dashboard")
        again = await browser.block("/dashboard", "figures")
    assert "The figures are being counted" in waiting.text
    for page in (waiting, again, counted):
        assert page.html.count("<h1") == 1, page.html
    place = waiting.html.split('id="figures"', 1)[0]
    assert "<h1" not in place


async def test_what_is_owed_back_leads_to_the_account_of_which_it_is(console: Any, story: Any) -> None:
    account = await place(story, await make(story), "60.00")
    await pay(story, account, "85.00")
    title = "Owed back to debtors"

    async def counted() -> bool:
        return cards(await console.get("acme.admin", "/dashboard"))[title][0] == "$25.00"

    await until(counted, within_s=30, what="what is owed back to be counted")
    listed = await console.get("acme.admin", cards(await console.get("acme.admin", "/dashboard"))[title][1])
    assert [link for link in listed.links if link.startswith("/accounts/0")] == [f"/accounts/{account['id']}"]
