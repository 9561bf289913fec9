"""Pages in a real Chromium: what is transferred and when content shows, on a first visit and on a second."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sandbox.ports import LOOPBACK

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

CHROMIUM = "RECOUP_CHROMIUM"
_ARGUMENTS = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 60_000
_PAINTS = """() => new Promise(found => new PerformanceObserver(list => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    found({first: painted.startTime, largest: list.getEntries().at(-1).startTime});
}).observe({type: "largest-contentful-paint", buffered: true}))"""
_CLICK = """() => new Promise(found => {
    const began = performance.now();
    const seen = () => document.querySelector(".account-summary")
        ? requestAnimationFrame(() => found(performance.now() - began)) : requestAnimationFrame(seen);
    document.querySelector("tr[data-row] a").click();
    seen();
})"""


@dataclass(frozen=True, slots=True)
class Visit:
    """Bytes that came over the network with their headers; milliseconds until content was painted."""

    bytes: int
    requests: int
    first_ms: float
    largest_ms: float


@dataclass(frozen=True, slots=True)
class BrowserPage:
    """A page on a first visit (nothing cached) and on a second, by medians of several browsers."""

    name: str
    cold: Visit
    warm: Visit


@dataclass(frozen=True, slots=True)
class BrowserFigures:
    """Pages as Chromium loads them; ``clicked``: the first account of the worklist, opened by a click.

    ``missing`` says why nothing was measured.
    """

    visits: int = 0
    pages: Sequence[BrowserPage] = ()
    clicked: Visit | None = None
    missing: str = ""


class _Wire:
    """What the network has brought to a page (Network domain, ``encodedDataLength``)."""

    def __init__(self) -> None:
        self.bytes = 0
        self.requests = 0

    async def watch(self, context: "BrowserContext", page: "Page") -> None:
        session = await context.new_cdp_session(page)
        session.on("Network.loadingFinished", self._finished)
        await session.send("Network.enable")

    def _finished(self, event: dict[str, Any]) -> None:
        # What the cache had says that it was no byte.
        if event["encodedDataLength"]:
            self.bytes += int(event["encodedDataLength"])
            self.requests += 1


def missing() -> str:
    """Why there is no browser to measure with; empty where there is one."""
    named, path = os.environ.get(CHROMIUM), program()
    if path is None:
        return f"no Chromium on the PATH, and {CHROMIUM} names none"
    if not Path(path).is_file():
        return f"{CHROMIUM} names {named}, which is no program"
    if find_spec("playwright") is None:
        return "Playwright is not installed (it is a dependency of development: make dev)"
    return ""


def program() -> str | None:
    """Chromium."""
    return os.environ.get(CHROMIUM) or shutil.which("chromium")


async def measure(
    port: int, cookie: str, pages: Sequence[tuple[str, str]], visits: int, report: Callable[[str], None]
) -> BrowserFigures:
    """Open each page (name, path) in ``visits`` browsers twice; what was transferred, when content showed."""
    if why := missing():
        return BrowserFigures(missing=why)
    from playwright.async_api import async_playwright  # noqa: PLC0415 - there only in development

    report(f"{visits} visits of {len(pages)} pages in Chromium")
    address = f"http://{LOOPBACK}:{port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program(), args=_ARGUMENTS)
        found = []
        for name, path in pages:
            both = [await _twice(browser, address, cookie, path) for _ in range(visits)]
            found.append(
                BrowserPage(name, _middle([one for one, _ in both]), _middle([two for _, two in both]))
            )
        clicks = [await _clicked(browser, address, cookie) for _ in range(visits)]
        await browser.close()
    return BrowserFigures(visits, found, _middle(clicks))


async def _context(browser: "Browser", address: str, cookie: str) -> "BrowserContext":
    context = await browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    name, _, value = cookie.partition("=")
    await context.add_cookies([{"name": name, "value": value, "url": address}])
    return context


async def _twice(browser: "Browser", address: str, cookie: str, path: str) -> tuple[Visit, Visit]:
    context = await _context(browser, address, cookie)
    try:
        return await _visit(context, path), await _visit(context, path)
    finally:
        await context.close()


async def _visit(context: "BrowserContext", path: str) -> Visit:
    page, wire = await context.new_page(), _Wire()
    await wire.watch(context, page)
    await page.goto(path, wait_until="networkidle")
    painted = await page.evaluate(_PAINTS)
    await page.close()
    return Visit(wire.bytes, wire.requests, painted["first"], painted["largest"])


async def _clicked(browser: "Browser", address: str, cookie: str) -> Visit:
    """The first account, opened from the worklist: HTMX puts it into the page that is there."""
    context = await _context(browser, address, cookie)
    try:
        page, wire = await context.new_page(), _Wire()
        await page.goto("/worklist", wait_until="networkidle")
        await wire.watch(context, page)
        took = await page.evaluate(_CLICK)
        await page.wait_for_load_state("networkidle")
        await page.wait_for_function("() => !document.querySelector('.htmx-request, [hx-trigger=load]')")
        return Visit(wire.bytes, wire.requests, took, took)
    finally:
        await context.close()


def _middle(visits: Sequence[Visit]) -> Visit:
    return Visit(
        int(median(one.bytes for one in visits)),
        int(median(one.requests for one in visits)),
        median(one.first_ms for one in visits),
        median(one.largest_ms for one in visits),
    )
