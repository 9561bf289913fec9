"""Every page, wide and narrow, light and dark: accessible, nothing beyond its edge; pictures on demand."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from console.build import MODULES
from tests.e2e.console.conftest import Console
from tests.e2e.console.lived_in import LivedIn

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

AXE = MODULES / "axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PICTURES = os.environ.get("RECOUP_SCREENSHOTS")
"""The folder that pictures of the pages are put into; none by default."""

EMPTY = {
    "nothing-found": "/worklist?search=nobody-of-this-name",
    "no-such-page": "/nowhere",
    "refused-filter": "/accounts?status=lost",
    "no-exports": "/exports?status=failed",
}
"""Pages that have nothing to show, which say why and what to do."""

SIGHTS = [(1440, False), (390, True), *([(1440, True), (390, False)] if PICTURES else [])]
"""Width of the window, and whether it is dark: each of both; for pictures, all there are."""


async def _violations(page: Page) -> list[str]:
    found: Any = await page.evaluate(
        "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", RULES
    )
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


async def _look(page: Page, name: str, width: int, *, dark: bool) -> list[str]:
    """What is wrong with the page that is open."""
    # As the tool of a developer, not as a script of the page: its policy forbids those.
    await page.evaluate(AXE.read_text())
    wrong = [f"{name}: {text}" for text in await _violations(page)]
    beyond = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if beyond > 0:
        wrong.append(f"{name}: {beyond} px beyond the edge")
    if PICTURES:
        shade = "dark" if dark else "light"
        await page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{shade}.png")
    return wrong


@pytest.mark.parametrize(("width", "dark"), SIGHTS)
async def test_every_page_can_be_read_by_everybody(
    console: Console, lived_in: LivedIn, width: int, dark: bool
) -> None:
    wrong = []
    async with console.visit(width=width, height=844 if width < 800 else 900, dark=dark) as page:
        await page.goto("/login")
        wrong += await _look(page, "login", width, dark=dark)
        await console.log_in(page, "demo.admin")
        for name, path in lived_in.paths.items():
            answer = await page.goto(path)
            await page.wait_for_load_state("networkidle")
            if answer is None or not answer.ok:
                wrong.append(f"{name}: {answer and answer.status} at {path}")
                continue
            wrong += await _look(page, name, width, dark=dark)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
async def test_what_opens_on_a_page_and_what_is_not_there_can_be_read_by_everybody(
    console: Console, lived_in: LivedIn, width: int, dark: bool
) -> None:
    """Dialogs, pages without anything on them, addresses that lead nowhere, and pages of other roles."""
    wrong = []
    size = {"width": width, "height": 844 if width < 800 else 900, "dark": dark}
    async with console.visit("demo.admin", **size) as page:
        await page.goto(f"/accounts/{lived_in.account}")
        await page.wait_for_load_state("networkidle")
        for name in await page.locator("dialog[id]").evaluate_all("all => all.map((one) => one.id)"):
            await page.evaluate("(id) => document.getElementById(id).showModal()", name)
            wrong += await _look(page, f"dialog-{name}", width, dark=dark)
            await page.evaluate("(id) => document.getElementById(id).close()", name)
        for name, path in EMPTY.items():
            await page.goto(path)
            await page.wait_for_load_state("networkidle")
            wrong += await _look(page, name, width, dark=dark)
    for username, path in (("demo.platform", "/settings/agencies"), ("sarah.mitchell", "/worklist")):
        async with console.visit(username, **size) as page:
            await page.goto(path)
            await page.wait_for_load_state("networkidle")
            wrong += await _look(page, username, width, dark=dark)
    assert not wrong, "\n".join(wrong)
