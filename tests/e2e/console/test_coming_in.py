"""Coming in and going out: by role, by keyboard, and when a session is over."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.console.conftest import Console

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

EVERYTHING = [
    "Dashboard",
    "Worklist",
    "Accounts",
    "Imports",
    "Payments",
    "Reconciliation",
    "Scoring",
    "Schedules",
    "Exports",
    "Settings",
]
SEEN = {
    "demo.admin": EVERYTHING,
    "demo.auditor": EVERYTHING,
    "sarah.mitchell": ["Worklist", "Accounts", "Payments", "Exports"],
}


@pytest.mark.parametrize("username", SEEN)
async def test_each_role_sees_its_own_pages_in_the_menu(console: Console, username: str) -> None:
    async with console.visit(username) as page:
        titles = page.get_by_role("navigation", name="Pages").locator(".nav-link-title")
        await expect(titles).to_have_text(SEEN[username])
        await expect(page.get_by_role("heading", level=1)).to_have_text(SEEN[username][0])


async def test_a_wrong_password_is_said_in_the_same_words_as_a_wrong_name(console: Console) -> None:
    async with console.visit() as page:
        for username in ("demo.admin", "nobody.at.all"):
            await page.goto("/login")
            await page.get_by_label("Username").fill(username)
            await page.get_by_label("Password").fill("not this one")
            await page.keyboard.press("Enter")
            await expect(page.locator(".alert-danger")).to_have_text(
                "The username or the password is not right."
            )


async def test_after_the_login_the_page_that_was_asked_for_is_shown(console: Console) -> None:
    async with console.visit() as page:
        await page.goto("/accounts?status=new")
        await console.log_in(page, "demo.admin")
        await expect(page).to_have_url(f"{console.address}/accounts?status=new")


async def test_who_logs_out_is_out_in_every_tab(console: Console) -> None:
    async with console.visit("sarah.mitchell") as page:
        other = await console.tab(page.context)
        await other.goto("/accounts")
        kept = await page.context.cookies()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(f"{console.address}/login")
        # Even who has kept the cookie is out.
        await page.context.add_cookies(kept)
        await other.get_by_role("link", name="Worklist").click()
        await expect(other).to_have_url(f"{console.address}/login?next=%2Faccounts")


async def test_the_menu_is_at_hand_by_keyboard(console: Console) -> None:
    async with console.visit("demo.admin") as page:
        await page.keyboard.press("g")
        await page.keyboard.press("a")
        await expect(page).to_have_url(f"{console.address}/accounts")
        await expect(page.get_by_role("heading", level=1)).to_be_focused()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox")).to_be_focused()


async def test_back_and_forward_lead_through_the_pages(console: Console) -> None:
    async with console.visit("demo.admin") as page:
        await page.get_by_role("link", name="Worklist").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
        await page.get_by_role("link", name="Accounts").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Accounts")
        await page.go_back()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
        await page.go_forward()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Accounts")
        # No page of a debtor stays behind in the browser: whoever goes back is asked who they are.
        for storage in ("sessionStorage", "localStorage"):
            assert await page.evaluate(f"{storage}.getItem('htmx-history-cache')") is None


async def test_who_comes_first_finds_something_to_do(console: Console) -> None:
    async with console.visit("sarah.mitchell") as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
        await expect(page.locator("[data-row]").first).to_be_visible()
        # A click anywhere in a row leads where its link does.
        await page.locator("[data-row] td").nth(1).click()
        await expect(page).to_have_url(re.compile("/accounts/[0-9a-f-]{36}$"))
    async with console.visit("demo.manager") as page:
        await page.goto("/reconciliation/runs")
        await expect(page.get_by_role("cell", name="recoup seed")).to_be_visible()
