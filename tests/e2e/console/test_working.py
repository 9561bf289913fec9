"""A day in the console: an account worked to its end, a file followed, a break decided, a server lost."""

import re
from typing import Any

import psutil
import pytest
from playwright.async_api import Locator, Page, expect

from sandbox.processes import until
from sandbox.seed import STAFF_PASSWORD
from tests.e2e.conftest import Sandbox
from tests.e2e.console.conftest import Console
from tests.e2e.console.lived_in import LivedIn

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DROPPED = """([content, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([content], name, {type: "text/csv"}));
    return data;
}"""
"""What the browser has for a file that somebody drags onto the page."""

WATCH_THE_BAR = """() => {
    window.barSaid = [];
    new MutationObserver(() => {
        const bar = document.querySelector("main progress[max='100']");
        if (bar && window.barSaid.at(-1) !== bar.value) window.barSaid.push(bar.value);
    }).observe(document.body, {childList: true, subtree: true});
}"""


ADDRESSES = "all => all.map((one) => one.href)"


async def _open(page: Page, button: str, dialog: str) -> None:
    await page.get_by_role("button", name=button, exact=True).first.click()
    await expect(page.get_by_role("dialog", name=dialog)).to_be_visible()


async def _assigned(running: Sandbox, at: int) -> Any:
    """An account of Sarah's, the smallest but ``at``, so that it can be paid in full."""
    async with running.log_in("demo.admin", STAFF_PASSWORD) as client:
        rows = (await client.get("/accounts?ordering=balance&status=new&page_size=50")).json()["results"]
        sarah = next(
            one for one in (await client.get("/collectors")).json()["results"] if "Sarah" in one["full_name"]
        )
        account = rows[at]
        answer = await client.post(f"/accounts/{account['id']}/assign", json={"collector_id": sarah["id"]})
        assert answer.is_success, answer.text
        return account


async def test_an_account_is_worked_from_the_worklist_until_it_is_settled(
    console: Console, running: Sandbox
) -> None:
    account = await _assigned(running, 0)
    async with console.visit("sarah.mitchell") as page:
        await page.get_by_role("searchbox").fill(account["external_ref"])
        await page.get_by_role("link", name=account["external_ref"]).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(account["debtor"]["full_name"])

        await _open(page, "In contact", "Move to: in contact")
        await page.get_by_role("dialog").get_by_role("button", name="Move").click()
        await expect(page.get_by_role("button", name="Negotiating")).to_be_visible()

        await _open(page, "Note", "Add a note")
        await page.get_by_role("textbox", name="Note").fill("Will pay all of it by card today.")
        await page.get_by_role("dialog").get_by_role("button", name="Add").click()
        await expect(page.locator("#history")).to_contain_text("Will pay all of it by card today.")

        await _open(page, "Take payment", "Take a payment")
        await page.get_by_role("dialog").get_by_label("Amount in USD").fill(account["current_balance"])
        await page.get_by_role("dialog").get_by_role("button", name="Take payment").click()
        await expect(page.locator(".account-summary")).to_contain_text("$0.00")
        await page.reload()
        await expect(page.locator(".account-summary")).to_contain_text(re.compile("Settled|Closed"))


async def test_two_tabs_in_conflict_are_told_who_did_what(console: Console, running: Sandbox) -> None:
    account = await _assigned(running, 1)
    async with console.visit("sarah.mitchell") as page, console.visit("demo.admin") as other:
        for tab in (page, other):
            await tab.goto(f"/accounts/{account['id']}")
            await _open(tab, "In contact", "Move to: in contact")
        await other.get_by_role("dialog").get_by_role("button", name="Move").click()
        await expect(other.get_by_role("button", name="Negotiating")).to_be_visible()
        await page.get_by_role("dialog").get_by_role("button", name="Move").click()
        problem = page.get_by_role("dialog").get_by_role("alert")
        await expect(problem).to_contain_text("demo.admin")
        await expect(problem).to_contain_text("in contact", ignore_case=True)


async def test_a_file_is_dropped_in_and_followed_to_its_accounts(console: Console) -> None:
    rows = [f"FOLLOW-{number},Person {number},{number % 900 + 10}.00" for number in range(30_000)]
    rows[7] = "FOLLOW-7,Person 7,-5.00"
    portfolio = "\n".join(["external_ref,debtor_name,original_amount", *rows, ""])
    async with console.visit("demo.admin") as page:
        await page.goto("/imports")
        dropped = await page.evaluate_handle(DROPPED, [portfolio, "followed.csv"])
        await page.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": dropped})
        await page.evaluate(WATCH_THE_BAR)
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("followed.csv")
        await expect(page.locator("main")).to_contain_text("29,999", timeout=120_000)
        await expect(page.locator("[aria-current=step]")).to_have_text("Done", timeout=120_000)
        # The page was not loaded anew meanwhile, or nobody would have kept what the bar said.
        said = await page.evaluate("window.barSaid")
        assert len(said) > 1, said
        assert said == sorted(said), said
        await expect(page.locator("#problems")).to_contain_text("-5.00")
        await page.get_by_role("link", name="See the accounts placed meanwhile").click()
        await expect(page.get_by_role("link", name=re.compile("^FOLLOW-")).first).to_be_visible()


async def test_one_proposes_and_another_approves(console: Console, lived_in: LivedIn) -> None:
    async with console.visit("demo.admin") as maker, console.visit("demo.manager") as checker:
        await maker.goto(f"/breaks/{lived_in.broken}")
        await maker.get_by_label(re.compile("Explain")).check()
        await maker.get_by_label("Why").fill("They had not booked our last payment yet.")
        await maker.get_by_role("button", name="Propose").click()
        await expect(maker.get_by_text("Somebody else has to approve it.", exact=True)).to_be_visible()
        await expect(maker.get_by_role("button", name="Approve")).to_have_count(0)
        await checker.goto(f"/breaks/{lived_in.broken}")
        await checker.get_by_role("button", name="Approve").click()
        await expect(checker.get_by_text("Approved, and done.")).to_be_visible()
        await expect(checker.get_by_role("heading", name="Resolved")).to_be_visible()


async def test_figures_are_drawn_and_can_be_read_as_tables(console: Console, lived_in: LivedIn) -> None:
    async with console.visit("demo.manager") as page:
        await page.goto("/dashboard?period=week")
        charts = page.locator("[data-chart]")
        drawn = await charts.count()
        await expect(page.locator("[data-chart] canvas")).to_have_count(drawn)
        tables = await charts.evaluate_all(
            "all => all.map((one) => document.getElementById(one.dataset.table).rows.length)"
        )
        assert len(tables) == 4
        assert min(tables) > 1, tables
        # In the other theme they are drawn anew, and a word of what they show is a click away.
        await page.get_by_role("button", name="Dark or light").click()
        await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        await expect(page.locator("[data-chart] canvas")).to_have_count(drawn)
        await page.get_by_text("As a table").first.click()
        await expect(page.get_by_role("table", name=re.compile("Payments by week"))).to_be_visible()


async def test_a_schedule_is_paused_resumed_and_run(console: Console) -> None:
    async with console.visit("demo.manager") as page:
        await page.goto("/schedules")
        poll = page.locator('[data-schedule="PortfolioPoll"]').first
        await poll.get_by_role("button", name="Pause").click()
        await page.get_by_role("dialog").get_by_role("button", name=re.compile("Pause")).click()
        await expect(poll).to_contain_text("Paused by demo.manager")
        await poll.get_by_role("button", name="Resume").click()
        await expect(poll.get_by_role("button", name="Pause")).to_be_visible()
        runs = poll.locator("ol a")
        before = set(await runs.evaluate_all(ADDRESSES))
        await poll.get_by_role("button", name="Run now").click()
        await expect(page.locator("#problem")).to_contain_text("Started: poll of the portfolio inboxes")

        async def is_among_the_last_runs() -> bool:
            return bool(set(await runs.evaluate_all(ADDRESSES)) - before)

        await until(is_among_the_last_runs, within_s=60, what="the run to be shown")


async def test_who_types_only_finds_opens_and_notes_an_account(console: Console) -> None:
    async with console.visit("demo.admin") as page:
        for key in ("g", "w"):
            await page.keyboard.press(key)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("/accounts/[0-9a-f-]{36}$"))
        await _tab_to(page, page.get_by_role("button", name="Note", exact=True))
        await page.keyboard.press("Enter")
        await _tab_to(page, page.get_by_role("textbox", name="Note"))
        await page.keyboard.type("Typed, not clicked.")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#history")).to_contain_text("Typed, not clicked.")


async def _tab_to(page: Page, wanted: Locator) -> None:
    """Go on by the keyboard until ``wanted`` has the focus."""
    for _ in range(60):
        if await wanted.evaluate("one => one === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not lead there")


async def test_a_session_that_was_ended_leads_to_the_login_and_back(console: Console) -> None:
    async with console.visit("demo.auditor") as page:
        await page.goto("/payments")
        await page.context.clear_cookies()
        await page.get_by_role("link", name="Plans").click()
        await expect(page).to_have_url(re.compile("/login"))
        await console.log_in(page, "demo.auditor")
        await expect(page).to_have_url(re.compile("/payments$"))


AFTERWARDS = "external_ref,debtor_name,original_amount\nAFTER-1,Later Comer,35.00\n"


async def test_a_server_that_is_gone_for_a_while_is_waited_for(console: Console, running: Sandbox) -> None:
    account = await _assigned(running, 2)
    async with console.visit("demo.admin") as page:
        await page.goto("/imports")
        typing = await console.tab(page.context)
        await typing.goto(f"/accounts/{account['id']}")
        await _open(typing, "Note", "Add a note")
        await typing.get_by_role("textbox", name="Note").fill("Typed before it was gone.")
        port = int(running.environment["RECOUP_API_PORT"])
        [api] = [
            process
            for process in psutil.process_iter()
            if any(one.laddr.port == port and one.status == "LISTEN" for one in _sockets(process))
        ]
        api.kill()
        await typing.get_by_role("dialog").get_by_role("button", name="Add").click()
        for tab in (page, typing):
            await expect(tab.locator("#reconnecting")).to_be_visible()
        for tab in (page, typing):
            await expect(tab.locator("#reconnecting")).to_be_hidden(timeout=120_000)
        async with running.log_in("demo.manager", STAFF_PASSWORD) as client:
            sent = await client.post("/imports", files={"file": ("afterwards.csv", AFTERWARDS)})
            assert sent.is_success, sent.text
        # What shows itself live is heard again, and nothing that was typed is lost.
        await expect(page.locator("#results")).to_contain_text("afterwards.csv", timeout=60_000)
        await typing.get_by_role("dialog").get_by_role("button", name="Add").click()
        await expect(typing.locator("#history")).to_contain_text("Typed before it was gone.")
        await page.get_by_role("link", name="Worklist").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")


def _sockets(process: psutil.Process) -> list[Any]:
    try:
        return process.net_connections(kind="tcp")
    except psutil.Error:
        return []
