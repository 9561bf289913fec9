"""The console in a real browser, over a sandbox that runs as a newcomer starts it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from sandbox.seed import COLLECTOR_PASSWORD, STAFF_PASSWORD
from tests.e2e.conftest import Sandbox
from tests.e2e.console.lived_in import LivedIn, live_in

REQUIRED = "RECOUP_BROWSER_REQUIRED"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium asks nobody for anything but our pages."""

PATIENCE_MS = 45_000
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Console:
    """The pages of one running sandbox, and what a browser complained of."""

    browser: Browser
    address: str
    complaints: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def visit(
        self, username: str | None = None, *, width: int = 1440, height: int = 900, dark: bool = False
    ) -> AsyncIterator[Page]:
        """A page in a browser of its own, logged in unless nobody is named."""
        context = await self.browser.new_context(
            base_url=self.address,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(PATIENCE_MS)
        try:
            page = await self.tab(context)
            if username is not None:
                await self.log_in(page, username)
            yield page
        finally:
            await context.close()

    async def tab(self, context: BrowserContext) -> Page:
        """Another tab of the same browser."""
        page = await context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(f"{page.url}: {message.text}")
                if "Content Security Policy" in message.text
                else None
            ),
        )
        return page

    async def log_in(self, page: Page, username: str) -> None:
        """Fill in the login, wherever it stands."""
        if "/login" not in page.url:
            await page.goto("/login")
        await page.get_by_label("Username").fill(username)
        await page.get_by_label("Password").fill(
            STAFF_PASSWORD if username.startswith(("demo.", "rival.")) else COLLECTOR_PASSWORD
        )
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url(lambda url: "/login" not in url)
        await page.wait_for_load_state("networkidle")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser; without one these tests are skipped, and where one is required they fail."""
    path = os.environ.get("RECOUP_CHROMIUM") or shutil.which("chromium")
    if path is None:
        missing = "no Chromium on the PATH, and RECOUP_CHROMIUM names none"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        await browser.close()


@pytest.fixture
async def console(chromium: Browser, running: Sandbox) -> AsyncIterator[Console]:
    """The console; a test in which a script failed, or the policy was broken, fails."""
    console = Console(chromium, running.api.removesuffix("/api/v1"))
    yield console
    assert console.complaints == []


@pytest.fixture(scope="session")
async def lived_in(running: Sandbox) -> LivedIn:
    """The demo agency after a day's work."""
    async with running.log_in("demo.admin", STAFF_PASSWORD) as client:
        return await live_in(client)
